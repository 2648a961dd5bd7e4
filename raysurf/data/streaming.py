"""Images that are decoded while they are used: ImageNet, and folders with a subfolder a class."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import v2

from raysurf.data.dataset import AugmentSeeds, Batch, Dataset, Labels, kept_and_held
from raysurf.data.images import decode
from raysurf.data.sets.folder import find_images
from raysurf.data.spec import DataSpec, image_folders
from raysurf.errors import DataError


class Request(NamedTuple):
    """An image that is wanted: its file, and the key of its random crop, or None for the crop of the centre."""

    path: str
    key: str | None = None


class Decoded(NamedTuple):
    """A batch of images.

    Args:
        images: [b, 3, size, size] uint8, of the requests that could be read.
        kept: [b] int64, which of the requests these are.
        unreadable: Files of the others.
    """

    images: Tensor
    kept: Tensor
    unreadable: list[str]


class Decoder:
    """Decodes image files with any number of processes, which live on from pass to pass.

    A process is a child of a server that has no threads and no CUDA: to fork this process, which may have both, could
    hang. The crop of an image depends on its key and on nothing else.

    Args:
        size: Pixels a side of what comes out. A training crop is a random part, resized, of which half are flipped;
            else the shorter side becomes size * 256 / 224, and its centre is cut out.
        workers: Processes; 0 to decode in this one.
        pin: Whether batches are pinned in memory, so that they go to a GPU while it works.

    Source:
        The transforms of torchvision's training references, which are those of Szegedy et al. 2015 (arXiv:1409.4842),
        section 6, and He et al. 2015 (arXiv:1512.03385), section 3.4, with one crop for testing.
    """

    def __init__(self, size: int, workers: int, pin: bool) -> None:
        self.size, self.workers, self.pin = size, workers, pin
        self._idle: list[tuple[_Wanted, Any]] = []

    def decode(self, batches: Iterable[Sequence[Request]]) -> Iterator[Decoded]:
        """Decode batch after batch; with processes, some batches ahead."""
        wanted, loader = self._idle.pop() if self._idle else self._made()
        wanted.batches = batches
        try:
            yield from loader
        finally:
            self._idle.append((wanted, loader))

    def _made(self) -> tuple[_Wanted, Any]:
        wanted = _Wanted()
        processes: dict[str, Any] = {}
        if self.workers:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__])
            processes = {"num_workers": self.workers, "multiprocessing_context": context, "persistent_workers": True}
        files: Any = _Files(self.size)
        # Without a generator of its own the loader would draw from torch's, which dropout draws from too.
        own = {"generator": torch.Generator(), "pin_memory": self.pin, "collate_fn": _collate, **processes}
        return wanted, DataLoader(files, batch_sampler=wanted, **own)


class _Wanted:
    """The batches of requests of the pass that is on."""

    batches: Iterable[Sequence[Request]] = ()

    def __iter__(self) -> Iterator[list[Request]]:
        return map(list, self.batches)


class _Files(TorchDataset[tuple[str, Tensor | None]]):
    """Every image file there is, by request; it holds no list of them, which each process would get a copy of."""

    def __init__(self, size: int) -> None:
        flipped = [v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()]
        centre = [v2.Resize(round(size * 256 / 224), antialias=True), v2.CenterCrop(size), v2.PILToTensor()]
        self.train, self.test = v2.Compose(flipped), v2.Compose(centre)

    def __getitem__(self, request: Request) -> tuple[str, Tensor | None]:
        path, key = request
        try:
            image = decode(path).convert("RGB")
        except Exception as error:  # Pillow's decoders raise almost anything.
            # A file that is absent or may not be read is a fault of the place, not of one image.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            return path, None
        return path, self.test(image) if key is None else self._cropped(image, key)

    def _cropped(self, image: Image.Image, key: str) -> Tensor:
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        # torch.manual_seed would also seed the GPUs' generators.
        generator = torch.default_generator
        before = generator.get_state()
        generator.manual_seed(int.from_bytes(digest, "big") >> 1)
        try:
            cropped: Tensor = self.train(image)
        finally:
            generator.set_state(before)
        return cropped


def _collate(decoded: Sequence[tuple[str, Tensor | None]]) -> Decoded:
    kept = [i for i, (_, image) in enumerate(decoded) if image is not None]
    images = [image for _, image in decoded if image is not None]
    unreadable = [path for path, image in decoded if image is None]
    stacked = torch.stack(images) if images else torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
    return Decoded(stacked, torch.tensor(kept, dtype=torch.int64), unreadable)


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
        device, wanted = self.labels.device, (list(self._requests(part.tolist(), seeds)) for part in asked)
        for numbers, decoded in zip(asked, self.decoder.decode(wanted), strict=True):
            self.skipped.update(decoded.unreadable)
            images = decoded.images.to(device, non_blocking=True)
            yield Batch(images, self.labels[numbers[decoded.kept].to(device)])

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
    kept, held = kept_and_held(spec, labels, 0 if spec.train is None else len(labels) // 10)
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
    images = find_images(spec, folder)
    return [path for path, _ in images.samples], np.array(images.targets, np.int64), images.classes


def _differing(classes: Sequence[str], others: Sequence[str]) -> str:
    names = sorted(set(classes) ^ set(others))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _fingerprint(parts: Iterable[Sequence[str]]) -> str:
    digest = hashlib.sha256()
    for paths in parts:
        names = (f"{os.sep.join(path.split(os.sep)[-2:])}\0{os.path.getsize(path)}\n" for path in paths)
        digest.update(os.fsencode("".join(names)) + b"\0")
    return digest.hexdigest()[:16]
