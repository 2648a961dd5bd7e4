"""Image files decoded in batches by a DataLoader's processes, each image with random numbers of its own."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from raysurf.data.image_formats import decode


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


class _Files(Dataset[tuple[str, Tensor | None]]):
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


def _collate(found: Sequence[tuple[str, Tensor | None]]) -> Decoded:
    kept = [i for i, (_, image) in enumerate(found) if image is not None]
    images = [image for _, image in found if image is not None]
    unreadable = [path for path, image in found if image is None]
    stacked = torch.stack(images) if images else torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
    return Decoded(stacked, torch.tensor(kept, dtype=torch.int64), unreadable)
