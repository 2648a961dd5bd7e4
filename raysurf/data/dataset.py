"""Data sets in memory: splits, augmentation, and batches on one device."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from raysurf.data.spec import DataSpec
from raysurf.errors import DataError

Indices = NDArray[np.int64]
UNLABELLED = -1


def stratified_split(labels: NDArray[np.int64], held_out: int, seed: int = 0) -> tuple[Indices, Indices]:
    """Hold out examples, of each class its share to within one.

    Args:
        labels: [N], class of each example.
        held_out: How many to hold out, 0 to N.
        seed: Decides which.

    Returns:
        Kept and held-out indices, each in rising order; together they are 0 .. N-1.
    """
    assert 0 <= held_out <= len(labels), (held_out, len(labels))
    random = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * held_out / max(1, len(labels))
    take = np.floor(exact).astype(np.int64)
    most_owed = np.argsort(take - exact, kind="stable")
    take[most_owed[: held_out - int(take.sum())]] += 1
    chosen = [random.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, take, strict=True)]
    held = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), held), held


def keep_labels(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Take the labels from all examples but some, of each class its share to within one.

    The same examples keep them as ``share`` keeps of a set, so that supervised training on these alone can be compared.

    Args:
        labels: [N], class of each example.
        count: How many keep theirs, 0 to N.

    Returns:
        New labels, -1 where there is none.
    """
    known = stratified_split(labels, count, seed=1)[1]
    kept = np.full_like(labels, UNLABELLED)
    kept[known] = labels[known]
    return kept


def draw_crops(count: int, generator: torch.Generator, padding: int = 4) -> tuple[Tensor, Tensor]:
    """Draw where images are cropped and which of them are flipped.

    Args:
        count: How many images.
        generator: On the CPU; it is left in the same state whatever the images are.
        padding: Pixels on each side.

    Returns:
        Offsets [2, count, 1] int64, of rows and columns, and flips [count, 1] bool; on the CPU.
    """
    offsets = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator)
    return offsets, torch.rand(count, 1, generator=generator) < 0.5


def crop_flip(images: Tensor, generator: torch.Generator, padding: int = 4, reflect: bool = False) -> Tensor:
    """Pad, crop each image at its own random place, and flip half of them left to right.

    Args:
        images: [B, C, H, W], any dtype and device.
        generator: On the CPU; the same state gives the same crops on every device.
        padding: Pixels on each side; a crop's offset is uniform over 0 .. 2 padding, each way.
        reflect: Whether they are the image reflected about its border pixels, else zeros.

    Returns:
        New images of the same shape and dtype.

    Source:
        He et al. 2015 (arXiv:1512.03385), section 4.2; reflected, the translation of the codes of Tarvainen & Valpola
        2017 (arXiv:1703.01780) and Athiwaratkun et al. 2019 (arXiv:1806.05594).
    """
    count, channels, height, width = images.shape
    offsets, flips = draw_crops(count, generator, padding)
    rows = torch.arange(height) + offsets[0]
    columns = torch.arange(width).expand(count, width)
    columns = torch.where(flips, width - 1 - columns, columns) + offsets[1]
    if reflect:
        source, rows, columns = images, _reflected(rows - padding, height), _reflected(columns - padding, width)
    else:
        source = F.pad(images, (padding,) * 4)
    flat = (rows[:, :, None] * source.shape[3] + columns[:, None, :]).view(count, 1, height * width)
    chosen = flat.to(images.device).expand(count, channels, height * width)
    return source.flatten(2).gather(2, chosen).view(images.shape)


def _reflected(places: Tensor, size: int) -> Tensor:
    """Reflect indices beyond 0 .. size - 1 about the ends."""
    period = max(1, 2 * (size - 1))
    within = places % period
    return torch.minimum(within, period - within)


Images = NDArray[np.uint8] | NDArray[np.float32]
Labels = NDArray[np.int64]


class Batch(NamedTuple):
    """Examples on one device: images [b, C, H, W], uint8 (float32 where they are no images), and labels [b] int64."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class AugmentSeeds:
    """What the augmentation of one pass over a split is drawn from.

    Args:
        shared: The same on all workers; where images are augmented one by one, each is drawn from it and its number.
        own: This worker's; where whole batches are augmented, they are drawn from it one after another.
    """

    shared: int
    own: int


class Split(Protocol):
    """Labelled examples, in memory or streamed."""

    @property
    def labels(self) -> Tensor:
        """All labels, [N] int64, on the device that batches come to."""

    def __len__(self) -> int: ...

    @property
    def images(self) -> Tensor:
        """All images at once, [N, C, H, W], un-augmented; of a streamed split only if they are few."""

    def batches(
        self, parts: Iterable[Tensor | slice], seeds: AugmentSeeds | None = None, skip: int = 0
    ) -> Iterator[Batch]:
        """Give the examples of each part in turn; all workers of a group may ask for different ones.

        Args:
            parts: Numbers of examples, int64 on the split's device, or slices. A number that comes twice in a part is
                augmented twice, each time anew. A streamed split takes them all before it gives the first batch.
            seeds: Of the augmentation; None to give the images as they are.
            skip: So many parts at the beginning are neither read nor given; the others are augmented as ever.

        Yields:
            A batch a part, in order. Examples that cannot be read are missing in it, which may leave it empty.
        """


@dataclass(frozen=True)
class MemorySplit:
    """Examples in memory: whole tensors on one device.

    Args:
        images, labels: As in ``Split``.
        reflect: Whether augmentation pads with the reflected image, else with zeros.
    """

    images: Tensor
    labels: Tensor
    reflect: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, parts: Iterable[Tensor | slice], seeds: AugmentSeeds | None = None, skip: int = 0
    ) -> Iterator[Batch]:
        generator = None if seeds is None else torch.Generator().manual_seed(seeds.own)
        for number, part in enumerate(parts):
            if number < skip:
                if generator is not None:
                    draw_crops(len(self.labels[part]), generator)
                continue
            images = self.images[part]
            if generator is not None:
                images = crop_flip(images, generator, reflect=self.reflect)
            yield Batch(images, self.labels[part])


@dataclass(frozen=True)
class RawSet:
    """What a loader gives: arrays as they were read, and what is usual for the set.

    Args:
        images, labels: Training examples, [N, C, H, W] uint8 (or float32) and [N].
        test_images, test_labels: Test examples.
        num_classes: Classes.
        validation: Training examples that are held out unless a spec says otherwise.
        augment: Usual augmentation.
        mean, std: Per channel, of images scaled to [0, 1], unless a spec says otherwise; None for those of the training
            split.
        scale: The largest value of a pixel.
    """

    images: Images
    labels: Labels
    test_images: Images
    test_labels: Labels
    num_classes: int
    validation: int
    augment: str = "none"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scale: float = 255.0


@dataclass(frozen=True)
class Dataset:
    """Splits of one data set on one device; ``validation`` is None if nothing is held out.

    ``skipped`` grows: paths of the files that this process could not read so far, and went on without.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split
    num_classes: int
    image_shape: tuple[int, int, int]
    mean: Tensor
    std: Tensor
    scale: float
    augment: str
    fingerprint: str
    skipped: Collection[str] = ()

    def normalise(self, images: Tensor) -> Tensor:
        """Turn bytes [B, C, H, W] into new float32 of mean 0 and deviation 1 a channel."""
        factor = 1.0 / (self.scale * self.std)
        return (
            images.to(torch.float32, copy=True).mul_(factor[:, None, None]).sub_((self.mean / self.std)[:, None, None])
        )


def kept_and_held(spec: DataSpec, labels: Labels, validation: int) -> tuple[Indices, Indices]:
    """Divide training examples into those that are trained on and those that are held out for validation.

    Args:
        spec: Says how much is held out and kept.
        labels: [N], of all of them.
        validation: How many are held out unless the spec says otherwise.

    Raises:
        DataError: If more is to be held out than there is.
    """
    held_out = validation if spec.validation is None else spec.validation
    if held_out >= len(labels):
        raise DataError(spec.name, f"validation: {held_out}", f"fewer than its {len(labels)} training examples")
    kept, held = stratified_split(labels, held_out)
    if spec.share < 1.0:
        wanted = max(1, round(spec.share * len(kept)))
        kept = kept[stratified_split(labels[kept], wanted, seed=1)[1]]
    return kept, held


def count_classes(spec: DataSpec, labels: Mapping[str, NDArray[np.integer]]) -> int:
    """Number of classes: the largest label plus one.

    Args:
        spec: Of the data set, for errors.
        labels: [N] each, by where they stand.

    Raises:
        DataError: If one is negative, or there are more classes than examples.
    """
    for place, values in labels.items():
        if len(values) and values.min() < 0:
            row = int(values.argmin())
            raise DataError(spec.name, f"{place}, row {row}: label {values[row]}", "classes that are numbered from 0")
    examples = sum(map(len, labels.values()))
    place, largest = max(labels.items(), key=lambda item: int(item[1].max()))
    row = int(largest.argmax())
    if (classes := int(largest[row]) + 1) > examples:
        got = f"{place}, row {row}: label {largest[row]}, thus {classes:,} classes of {examples:,} examples"
        raise DataError(spec.name, got, "no more classes than examples; number them from 0")
    return classes


def labelled_part(split: Split) -> Split:
    """The examples of a split that have a label; the split itself if all have, as those of a streamed one do."""
    known = split.labels != UNLABELLED
    if bool(known.all()) or not isinstance(split, MemorySplit):
        return split
    return replace(split, images=split.images[known], labels=split.labels[known])


def assemble(spec: DataSpec, raw: RawSet, device: str) -> Dataset:
    """Split and place a loaded set.

    Args:
        spec: Says how much is held out and kept.
        raw: The arrays.
        device: Where the tensors go.

    Raises:
        DataError: If more is to be held out or labelled than there is, or a class number is out of range.
    """
    for labels in (raw.labels, raw.test_labels):
        if len(labels) == 0 or labels.min() < 0 or labels.max() >= raw.num_classes:
            got = f"labels from {labels.min()} to {labels.max()}" if len(labels) else "no examples"
            raise DataError(spec.name, got, f"classes 0 to {raw.num_classes - 1}")
    kept, held = kept_and_held(spec, raw.labels, raw.validation)
    train_labels = raw.labels[kept]
    if spec.labelled is not None:
        if not raw.num_classes <= spec.labelled < len(kept):
            wanted_labels = (
                f"one a class, {raw.num_classes}, at least, and fewer than its {len(kept)} training examples"
            )
            raise DataError(spec.name, f"labelled: {spec.labelled}", wanted_labels)
        train_labels = keep_labels(train_labels, spec.labelled)
    digest = hashlib.sha256()
    for array in (
        raw.images[kept],
        train_labels,
        raw.images[held],
        raw.labels[held],
        raw.test_images,
        raw.test_labels,
    ):
        digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    mean, std = spec.normalisation(raw.images.shape[1], raw.scale != 1) or (raw.mean, raw.std)
    if mean is None or std is None:
        pixels = raw.images[kept].astype(np.float64).transpose(1, 0, 2, 3).reshape(raw.images.shape[1], -1) / raw.scale
        mean, std = tuple(pixels.mean(axis=1)), tuple(np.maximum(pixels.std(axis=1), 1e-6))

    augment = spec.augment or raw.augment

    def split(images: Images, labels: Labels) -> Split:
        placed = torch.from_numpy(np.array(images, order="C")).to(device)
        return MemorySplit(placed, torch.from_numpy(np.array(labels)).to(device), augment == "reflect_flip")

    channels, height, width = raw.images.shape[1:]
    return Dataset(
        spec.name,
        split(raw.images[kept], train_labels),
        split(raw.images[held], raw.labels[held]) if len(held) else None,
        split(raw.test_images, raw.test_labels),
        raw.num_classes,
        (channels, height, width),
        torch.tensor(mean, dtype=torch.float32, device=device),
        torch.tensor(std, dtype=torch.float32, device=device),
        raw.scale,
        augment,
        digest.hexdigest()[:16],
    )
