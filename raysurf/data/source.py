"""What is known of a data set without reading it, and what reads it. Importing it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysurf import own_code, plugs

if TYPE_CHECKING:
    from raysurf.data.spec import DataSpec

IN_MEMORY, STREAMED = ("none", "crop_flip", "reflect_flip"), ("none", "resized_crop")


@dataclass(frozen=True)
class Source:
    """A data set that a job may name; without arguments, that of a function which returns arrays.

    Args:
        reader: ``module:function`` from a spec to a ``RawSet``; of a streamed set, from spec and device to a
            ``Dataset``.
        examples: Training examples, and how many of them are held out unless a spec says otherwise.
        channels: Of its images.
        is_scaled: Whether its pixels are known to be 0 to 1 when a mean is taken off.
        augmentations: What a spec may ask for.
        takes_transform: Whether a spec may say whose constants normalise it.
        takes_paths: Whether its files are those of ``train:`` and ``test:``.
        is_streamed: Whether its images are read while they are used.
        files: Under its root, one of which is there if it need not be downloaded.
    """

    reader: str = "raysurf.data.sets.function:read"
    examples: tuple[int, int] | None = None
    channels: int | None = None
    is_scaled: bool = False
    augmentations: tuple[str, ...] = IN_MEMORY
    takes_transform: bool = False
    takes_paths: bool = False
    is_streamed: bool = False
    files: tuple[str, ...] = ()

    @property
    def is_function(self) -> bool:
        """Whether it is a function's, which is called with the options of a spec."""
        return self.reader == Source.reader

    def __call__(self, *args: Any) -> Any:
        """Read it."""
        return plugs.attribute(self.reader)(*args)


def _idx(name: str) -> Source:
    file = f"{name}/raw/train-images-idx3-ubyte"
    return Source(
        "raysurf.data.sets.torchvision:read", (60_000, 5000), channels=1, is_scaled=True, files=(file, f"{file}.gz")
    )


def _cifar(file: str) -> Source:
    reader = "raysurf.data.sets.torchvision:read"
    return Source(reader, (50_000, 5000), channels=3, is_scaled=True, takes_transform=True, files=(file,))


DIGITS = Source("raysurf.data.sets.digits:read", (1297, 297), channels=1, is_scaled=True)
TOY = Source("raysurf.data.sets.toy:read", (2000, 0), channels=2)
MNIST, FASHION_MNIST = _idx("MNIST"), _idx("FashionMNIST")
CIFAR10, CIFAR100 = _cifar("cifar-10-batches-py/data_batch_1"), _cifar("cifar-100-python/train")
PARQUET = Source("raysurf.data.sets.parquet:read", is_scaled=True, takes_paths=True)
FOLDER = Source("raysurf.data.sets.folder:read", channels=3, is_scaled=True, takes_paths=True)
IMAGENET = Source("raysurf.data.streaming:stream", channels=3, is_scaled=True, augmentations=STREAMED, is_streamed=True)
IMAGE_STREAM = Source(
    "raysurf.data.streaming:stream",
    channels=3,
    is_scaled=True,
    augmentations=STREAMED,
    takes_paths=True,
    is_streamed=True,
)


def source_of(spec: DataSpec) -> Source:
    """The set that a spec names; a function of the user's is not imported.

    Raises:
        UnknownNameError: If there is none of its name; the nearest is suggested.
        SpecError: If it is another package's and cannot be imported.
    """
    source = None if own_code.is_named_in(spec.name) else plugs.find("data", spec.name)
    return source if isinstance(source, Source) else Source()


def names_of(what: str) -> str:
    """Names of the sets of which something holds, for errors."""
    return ", ".join(name for name, plug in plugs.every("data") if getattr(plug, what, False))


def num_training(spec: DataSpec) -> int | None:
    """Training examples that a spec keeps, labelled or not; None where only the data tell.

    Args:
        spec: Which set, what is held out of it and what share is kept.
    """
    if spec.name not in plugs.GROUPS["data"].own or (examples := source_of(spec).examples) is None:
        return None
    every, held_out = examples
    kept = every - (held_out if spec.validation is None else spec.validation)
    return max(1, round(spec.share * kept)) if kept > 0 else None
