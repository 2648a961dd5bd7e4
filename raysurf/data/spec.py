"""How a data set is named in a job."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from raysurf.values import Value


class DataSpec(Value):
    """A data set, how it is split, and how its training images are augmented."""

    IDENTITY_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"root", "download", "workers"})

    name: str = Field(description="such as digits or cifar10, or package.module:function")
    root: str | None = Field(
        None, description="where its files lie; else $RAYSURF_DATA, else ~/.cache/raysurf (imagenet in it)"
    )
    download: bool = Field(True, description="whether it may be downloaded")
    validation: int | None = Field(None, ge=0, description="training examples held out; else the set's own number")
    share: float = Field(1.0, gt=0, le=1, description="share of the training examples that is kept")
    labelled: int | None = Field(
        None, ge=1, description="training examples that keep their label, for objective consistency; default all"
    )
    augment: Literal["none", "crop_flip", "resized_crop"] | None = Field(
        None, description="else the set's own augmentation; a streamed set's is resized_crop"
    )
    transform: Literal["resnet", "vgg"] | None = Field(
        None, description="of CIFAR: whose mean and deviation normalise it; default resnet"
    )
    train: str | None = Field(None, description="for parquet, folder, image_stream: the training file or folder")
    test: str | None = Field(None, description="for parquet, folder, image_stream: the test file or folder")
    image_size: int | None = Field(None, ge=1, description="of a streamed set: pixels a side; default 224")
    workers: int | None = Field(
        None, ge=0, description="of a streamed set: processes that decode its images; default one a thread of the job"
    )

    @staticmethod
    def parse(value: Any) -> Any:
        """Read the short form: a bare name."""
        return {"name": value} if isinstance(value, str) else value
