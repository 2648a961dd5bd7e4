"""How a data set is named in a job."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from raysurf import plugs
from raysurf.errors import DataError
from raysurf.values import Value, as_tuple


def _per_channel(value: Any) -> Any:
    values = value if isinstance(value, list | tuple) else [value]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if not values or len(numbers) < len(values) or not all(abs(value) <= sys.float_info.max for value in numbers):
        raise ValueError("a number, or a list of numbers, one a channel")
    return as_tuple(value)


def _positive(value: Any) -> Any:
    if min(value if isinstance(value, tuple) else [value]) <= 0:
        raise ValueError("greater than 0")
    return value


PerChannel = Annotated[float | tuple[float, ...], BeforeValidator(_per_channel)]


class DataSpec(Value):
    """A data set, how it is split, and how its training images are normalised and augmented.

    Pixels are scaled to 0 to 1 (bytes are divided by 255), then mean is taken off and std divided by, a channel. Unless
    ``mean`` and ``std`` or ``normalise`` are given, these are the usual constants of mnist, fashion_mnist, the CIFARs
    and imagenet (image_stream has imagenet's), and those of the training split of all others. Of the training examples
    5,000 of mnist, fashion_mnist and the CIFARs are held out for validation, 297 of digits, none of toy_gaussians and
    imagenet, and a tenth of all others, unless ``validation`` is given; of each class its share, always the same ones.

    Images of folders and Parquet files are decoded alike: 8 bits a channel (of 16 the upper 8), the first frame,
    turned as EXIF says, without transparency. Folders give RGB; Parquet gives one channel where all images are grey.

    A function of your own, ``name: package.module:function``, is called as ``function(**options)`` and returns
    ``(images, labels), (test_images, test_labels)``, NumPy arrays or tensors: images [N, C, H, W], uint8 (0 to 255) or
    floating (taken as they are), of one shape and type; labels [N], whole numbers from 0. There are as many classes as
    the largest label says. It has to return the same data at every call. Its module is found as a network's is
    (`raysurf help ModelSpec`); ``raysurf check`` imports it and calls nothing.
    """

    IDENTITY_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"root", "download", "workers", "label"})

    name: str = Field(description="such as digits or cifar10, or package.module:function")
    options: dict[str, bool | int | float | str] = Field({}, description="what a function of yours takes")
    label: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="what tables and pictures call it; else its name and its folder's",
    )
    root: str | None = Field(
        None, description="where its files lie; else $RAYSURF_DATA, else ~/.cache/raysurf (imagenet in it)"
    )
    download: bool = Field(True, description="whether it may be downloaded")
    validation: int | None = Field(None, ge=0, description="training examples held out; else the set's own number")
    share: float = Field(1.0, gt=0, le=1, description="share of the training examples that is kept")
    labelled: int | None = Field(
        None, ge=1, description="training examples that keep their label, for objective consistency; default all"
    )
    augment: Literal["none", "crop_flip", "reflect_flip", "resized_crop"] | None = Field(
        None,
        description="else the set's own augmentation; reflect_flip is crop_flip with reflected borders, not zeros; "
        "a streamed set's is resized_crop",
    )
    transform: Literal["resnet", "vgg"] | None = Field(
        None, description="of CIFAR: whose mean and deviation normalise it; default resnet"
    )
    mean: PerChannel | None = Field(
        None, description="what is taken off pixels of 0 to 1: a number, or one a channel; with std"
    )
    std: Annotated[PerChannel, AfterValidator(_positive)] | None = Field(
        None, description="what they are divided by then: a number, or one a channel; with mean"
    )
    normalise: Literal["none"] | None = Field(None, description="none: pixels stay as they are, 0 to 1")
    train: str | None = Field(None, description="for parquet, folder, image_stream: the training file or folder")
    test: str | None = Field(None, description="for parquet, folder, image_stream: the test file or folder")
    image_size: int | None = Field(None, ge=1, description="of a streamed set: pixels a side; default 224")
    workers: int | None = Field(
        None, ge=0, description="of a streamed set: processes that decode its images; default one a thread of the job"
    )

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @property
    def code(self) -> str | None:
        """``module:function`` that returns it, if it is no set of raysurf's."""
        return plugs.code_of("data", self.name)

    @property
    def shown(self) -> str:
        """What tables and pictures call it: its label, else its name, with that of its folder if it is read from one.

        The folder is that of the training data, or the one that it lies in where that is called ``train``.
        """
        if self.label is not None or self.train is None:
            return self.label or self.name
        path = PurePath(self.train)
        own = path.name.removesuffix(".parquet")
        return f"{self.name} {(path.parent.name if own.lower().startswith('train') else '') or own}"

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that decide the content; specs that differ in location or label alone have the same."""
        return self.model_dump(exclude=set(self.IDENTITY_EXCLUDED))

    @staticmethod
    def parse(value: Any) -> Any:
        """Read the short form: a bare name."""
        return {"name": value} if isinstance(value, str) else value

    def normalisation(self, channels: int | None, scaled: bool) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and deviation a channel of pixels of 0 to 1, as far as this says them; None for the set's own.

        Args:
            channels: Of the images, if that is known yet.
            scaled: Whether its pixels are known to be 0 to 1.

        Raises:
            DataError: If it says them in part, in two ways, for another number of channels, or for pixels of 0 to 255.
        """
        stated = [name for name in ("mean", "std", "normalise", "transform") if getattr(self, name) is not None]
        if self.normalise is None and self.mean is None and self.std is None:
            return None
        if stated not in (["mean", "std"], ["normalise"]):
            raise DataError(self.name, " and ".join(f"{name}:" for name in stated), "mean: with std:, or one alone")
        known = channels or 1
        if self.normalise is not None:
            return (0.0,) * known, (1.0,) * known
        mean, std = ((values,) * known if isinstance(values, float) else values for values in (self.mean, self.std))
        assert mean is not None and std is not None
        for name, values in (("mean", mean), ("std", std)):
            if channels is not None and len(values) != channels:
                expected = f"a number, or one for each of its {channels} channels"
                raise DataError(self.name, f"{name}: of {len(values)} numbers", expected)
        if scaled and max(mean) > 1:
            raise DataError(self.name, f"mean: {max(mean):g}", "that of pixels scaled to 0 to 1 (divide both by 255)")
        return mean, std


def root_of(spec: DataSpec) -> Path:
    """Where a set's files lie, or are downloaded to."""
    return Path(spec.root or os.environ.get("RAYSURF_DATA") or Path.home() / ".cache" / "raysurf").expanduser()


def image_folders(spec: DataSpec) -> tuple[str, str]:
    """The folders of a streamed set's training and test images."""
    if spec.train is not None and spec.test is not None:
        return spec.train, spec.test
    root = root_of(spec) if spec.root else root_of(spec) / spec.name
    return str(root / "train"), str(root / "val")
