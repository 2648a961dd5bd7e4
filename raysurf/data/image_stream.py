"""Images that are read while they are used: ImageNet, and any folder with a subfolder of images for every class."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from raysurf.data.dataset import AugmentSeeds, Batch, Dataset, Labels, kept_and_held
from raysurf.data.decoding import Decoder, Request
from raysurf.data.image_folder import find_images
from raysurf.data.registry import image_folders
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = 224


class StreamedSplit:
    """Labels in memory, images in files.

    Args:
        paths: Files of the images.
        labels: [N] int64, on the device where batches go.
        decoder: Reads them.
        skipped: Where the names of files that cannot be read are kept.
    """

    def __init__(self, paths: Sequence[str], labels: Tensor, decoder: Decoder, skipped: set[str]) -> None:
        self.paths, self.labels, self.decoder, self.skipped = paths, labels, decoder, skipped

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def images(self) -> Tensor:
        (batch,) = self.batches([slice(0, len(self))])
        return batch.images

    def batches(
        self, parts: Iterable[Tensor | slice], seeds: AugmentSeeds | None = None, skip: int = 0
    ) -> Iterator[Batch]:
        # All at once: to bring a part from a GPU while it works would wait for it.
        left = itertools.islice(parts, skip, None)
        asked = [torch.arange(len(self))[part] if isinstance(part, slice) else part.cpu() for part in left]
        device, wanted = self.labels.device, (list(self._requests(each.tolist(), seeds)) for each in asked)
        for numbers, found in zip(asked, self.decoder.decode(wanted), strict=True):
            self.skipped.update(found.unreadable)
            images = found.images.to(device, non_blocking=True)
            yield Batch(images, self.labels[numbers[found.kept].to(device)])

    def _requests(self, numbers: Sequence[int], seeds: AugmentSeeds | None) -> Iterator[Request]:
        times: Counter[int] = Counter()
        for number in numbers:
            key = None if seeds is None else f"{seeds.shared}/{number}/{times[number]}"
            times[number] += 1
            yield Request(self.paths[number], key)


def stream(spec: DataSpec, device: str) -> Dataset:
    """Find the images of ``imagenet`` (``train`` and ``val`` under its root) or ``image_stream`` (``train``, ``test``).

    No image is read yet. Of ImageNet none are held out for validation by default, of other folders a tenth of the
    training examples; normalisation is that of ImageNet unless the spec says otherwise. The fingerprint is of the
    files' names and sizes, not of their content.

    Raises:
        DataError: If a folder has no class or a class no image, if the classes differ, or if more is to be held out
            than there is.
    """
    (paths, labels, classes), (test_paths, test_labels, others) = (_found(spec, p) for p in image_folders(spec))
    if classes != others:
        got = f"{len(classes)} classes in training, {len(others)} in testing, {_differing(classes, others)} in one only"
        raise DataError(spec.name, got, "the same classes in both")
    kept, held = kept_and_held(spec, labels, 0 if spec.name == "imagenet" else len(labels) // 10)
    place = torch.device(device)
    workers = torch.get_num_threads() if spec.workers is None else spec.workers
    size = spec.image_size or SIZE
    mean, std = spec.normalisation(3, True) or (MEAN, STD)
    decoder, skipped = Decoder(size, workers, place.type == "cuda"), set[str]()
    chosen = [
        ([paths[i] for i in kept], labels[kept]),
        ([paths[i] for i in held], labels[held]),
        (test_paths, test_labels),
    ]
    train, validation, test = (
        StreamedSplit(files, torch.from_numpy(own).to(place), decoder, skipped) for files, own in chosen
    )
    return Dataset(
        spec.name,
        train,
        validation if len(held) else None,
        test,
        len(classes),
        (3, size, size),
        torch.tensor(mean, device=place),
        torch.tensor(std, device=place),
        255.0,
        spec.augment or "resized_crop",
        _fingerprint(files for files, _ in chosen),
        skipped,
    )


def _found(spec: DataSpec, folder: str) -> tuple[list[str], Labels, list[str]]:
    found = find_images(spec, folder)
    return [path for path, _ in found.samples], np.array(found.targets, np.int64), found.classes


def _differing(classes: Sequence[str], others: Sequence[str]) -> str:
    names = sorted(set(classes) ^ set(others))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _fingerprint(parts: Iterable[Sequence[str]]) -> str:
    digest = hashlib.sha256()
    for paths in parts:
        names = (f"{os.sep.join(path.split(os.sep)[-2:])}\0{os.path.getsize(path)}\n" for path in paths)
        digest.update(os.fsencode("".join(names)) + b"\0")
    return digest.hexdigest()[:16]
