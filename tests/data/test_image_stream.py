"""Streamed image folders, made here."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from raysurf.data import registry
from raysurf.data.dataset import AugmentSeeds, Batch, Dataset, MemorySplit
from raysurf.data.spec import DataSpec
from raysurf.data.streaming import StreamedSplit
from raysurf.errors import DataError, SpecError
from raysurf.jobs.parse import parse_job
from raysurf.training import evaluation
from raysurf.training.workers import Workers
from tests.support.image_files import CLASSES, cut_off, make_folder

SIZE = 16


def streamed(folder: Path, workers: int = 0, **more: object) -> Dataset:
    """A stream of a folder with ``train`` and ``test``, which are made if absent."""
    for which, per_class in (("train", 8), ("test", 4)):
        if not (folder / which).exists():
            make_folder(folder / which, per_class, seed=per_class)
    places = {which: str(folder / which) for which in ("train", "test")}
    spec = {"name": "image_stream", "image_size": SIZE, "workers": workers, "validation": 0, **places, **more}
    return registry.load(DataSpec(**spec))  # type: ignore[arg-type]


def passed(data: Dataset, parts: list[torch.Tensor], seeds: AugmentSeeds | None) -> list[Batch]:
    return list(data.train.batches(parts, seeds))


def equal(ours: list[Batch], theirs: list[Batch]) -> bool:
    return all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in zip(ours, theirs, strict=True)
    )


def test_batches_do_not_depend_on_processes(tmp_path: Path) -> None:
    """No process and two give the same batches, augmented or not, in one pass after another."""
    alone, two = streamed(tmp_path), streamed(tmp_path, workers=2)
    parts = list(torch.randperm(24, generator=torch.Generator().manual_seed(0)).split(7))
    for seeds in (AugmentSeeds(1, 2), AugmentSeeds(3, 2), None):
        assert equal(passed(alone, parts, seeds), passed(two, parts, seeds))


def test_passes_may_overlap_and_break_off(tmp_path: Path) -> None:
    """A pass that is left in its middle, and one beside another, harm no later pass."""
    data = streamed(tmp_path, workers=1)
    parts = list(torch.arange(24).split(4))
    expected = passed(data, parts, None)
    left = data.train.batches(parts)
    next(left)
    both = list(zip(data.train.batches(parts), data.train.batches(parts), strict=True))
    assert equal([a for a, _ in both], expected)
    assert equal([b for _, b in both], expected)
    del left
    assert equal(passed(data, parts, None), expected)


def test_parts_of_two_workers_are_the_batch_of_one(tmp_path: Path) -> None:
    """Each worker decodes its own part; in order they are what a lone worker has, augmentation and all."""
    data = streamed(tmp_path)
    batch = torch.randperm(24, generator=torch.Generator().manual_seed(0))[:9]
    (whole,) = passed(data, [batch], AugmentSeeds(1, 2))
    halves = [
        passed(data, [batch[Workers(rank, 2).share(len(batch))]], AugmentSeeds(1, 7 + rank))[0] for rank in (0, 1)
    ]
    assert torch.equal(torch.cat([half.images for half in halves]), whole.images)
    assert torch.equal(torch.cat([half.labels for half in halves]), whole.labels)


def test_crops_are_torchvisions(tmp_path: Path) -> None:
    """Evaluation is Resize and CenterCrop; a training crop is RandomResizedCrop and a flip, new in every pass."""
    data = streamed(tmp_path)
    files = [tmp_path / "train" / name / f"{i}.jpg" for name in CLASSES for i in range(8)]
    centre = v2.Compose([v2.Resize(18), v2.CenterCrop(SIZE), v2.PILToTensor()])
    assert torch.equal(data.train.images, torch.stack([centre(Image.open(file).convert("RGB")) for file in files]))
    assert data.train.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    first, second = (data.train.batches([torch.arange(24)], AugmentSeeds(seed, 0)) for seed in (1, 2))
    assert not torch.equal(next(first).images, next(second).images)


def test_number_that_comes_twice_is_augmented_twice(tmp_path: Path) -> None:
    """Two views of an image in one batch are two crops of it."""
    data = streamed(tmp_path)
    (batch,) = passed(data, [torch.tensor([5, 5])], AugmentSeeds(1, 2))
    assert not torch.equal(*batch.images)


def test_training_crops_have_torchvisions_distribution(tmp_path: Path) -> None:
    """Over many passes, mean colour and flips of one image are distributed as those that torchvision draws."""
    make_folder(tmp_path / "test", 1)
    ramp = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], 32, 0).repeat(3, 2)
    for name in CLASSES:
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(ramp).save(tmp_path / "train" / name / "0.png")
    data = streamed(tmp_path)
    (ours,) = passed(data, [torch.zeros(600, dtype=torch.int64)], AugmentSeeds(1, 2))
    torch.manual_seed(0)
    theirs_of = v2.Compose([v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip()])
    theirs = torch.stack([v2.functional.pil_to_tensor(theirs_of(Image.fromarray(ramp))) for _ in range(600)])
    from scipy.stats import ks_2samp

    for figure in (lambda x: x[:, 0].float().mean((1, 2)), lambda x: x[:, 0, 0, -1].float() - x[:, 0, 0, 0].float()):
        assert ks_2samp(figure(ours.images).numpy(), figure(theirs).numpy()).pvalue > 0.01


def test_decoding_draws_nothing_from_the_model(tmp_path: Path) -> None:
    """The generator that dropout draws from is where it was after a pass, with and without processes."""
    for workers in (0, 1):
        data = streamed(tmp_path, workers)
        torch.manual_seed(5)
        before = torch.get_rng_state()
        passed(data, [torch.arange(24)], AugmentSeeds(1, 2))
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_corrupt_image_is_skipped(workers: int, tmp_path: Path) -> None:
    """A file that is cut off, and one that is no image, drop out of their batches; the set knows their names."""
    data = streamed(tmp_path, workers)
    bad = [cut_off(tmp_path / "train" / "ant" / "1.jpg"), str(tmp_path / "train" / "bee" / "0.jpg")]
    Path(bad[1]).write_bytes(b"")
    batches = passed(data, list(torch.arange(24).split(6)), None)
    assert [len(batch.labels) for batch in batches] == [5, 5, 6, 6]
    assert batches[1].labels.tolist() == [0, 0, 1, 1, 1]
    assert sorted(data.skipped) == bad


def test_names_that_are_no_utf8_are_names(tmp_path: Path) -> None:
    """A file whose name is bytes of another encoding is read, or skipped, as any other."""
    data = streamed(tmp_path)
    image = (tmp_path / "train" / "ant" / "0.jpg").read_bytes()
    Path(os.fsdecode(os.fsencode(tmp_path / "train" / "ant") + b"/\xff.jpg")).write_bytes(image)
    other = streamed(tmp_path)
    assert len(other.train) == len(data.train) + 1
    assert other.fingerprint != data.fingerprint
    places = {which: str(tmp_path / which) for which in ("train", "test")}
    assert registry.stamp(DataSpec(name="folder", **places)) is not None


def test_absent_file_is_no_corrupt_one(tmp_path: Path) -> None:
    """A file that has gone stops the pass: the folder is not what it was."""
    data = streamed(tmp_path)
    (tmp_path / "train" / "ant" / "1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.jpg"):
        passed(data, [torch.arange(24)], None)


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    )


def test_measuring_equals_that_of_the_same_pixels_in_memory(tmp_path: Path) -> None:
    """Figures and re-estimated statistics are those of a set in memory; without corrupt files as if they never were."""
    from dataclasses import replace

    data = streamed(tmp_path)
    for name in ("ant", "cat"):
        cut_off(tmp_path / "train" / name / "2.jpg")
    kept = [i for i in range(24) if i not in (2, 18)]
    memory = replace(data, train=MemorySplit(data.train.images, data.train.labels[kept]))
    assert isinstance(data.train, StreamedSplit)
    nets = [_network(), _network()]
    measured = []
    for net, source in zip(nets, (data, memory), strict=True):
        evaluation.reestimate_batchnorm(net, source, Workers(), 24)
        measured.append(evaluation.evaluate(net, source, source.train, Workers()))
    assert measured[0].num_examples == 22
    assert measured[0].nll == pytest.approx(measured[1].nll, rel=1e-5)
    assert measured[0].accuracy == measured[1].accuracy
    assert torch.allclose(nets[0][1].running_var, nets[1][1].running_var)


def test_imagenet_is_a_root_with_train_and_val(tmp_path: Path) -> None:
    """Its test split is ``val``; nothing is held out unless asked; names and sizes of files make the fingerprint."""
    make_folder(tmp_path / "train", 8)
    make_folder(tmp_path / "val", 4)
    spec = {"name": "imagenet", "root": str(tmp_path), "image_size": SIZE, "workers": 0}
    data, held = registry.load(DataSpec(**spec)), registry.load(DataSpec(**spec, validation=6, share=0.5))
    assert (len(data.train), data.validation, len(data.test), data.num_classes) == (24, None, 12, 3)
    assert held.validation is not None
    assert (len(held.train), len(held.validation)) == (9, 6)
    assert (data.augment, data.image_shape) == ("resized_crop", (3, SIZE, SIZE))
    cut_off(tmp_path / "train" / "ant" / "0.jpg")
    registry._load.cache_clear()
    assert registry.load(DataSpec(**spec)).fingerprint != data.fingerprint != held.fingerprint


def test_imagenet_without_classes_is_refused_by_check(tmp_path: Path) -> None:
    """Absent folders, no classes, empty and other classes are each one error; the first two before anything runs."""
    spec = {"name": "imagenet", "root": str(tmp_path)}
    with pytest.raises(SpecError, match=r"data: got .*train: No such file.*set root: to the folder that has train"):
        parse_job({"kind": "sgd", "model": "resnet18", "data": spec, "epochs": 1})
    for which in ("train", "val"):
        (tmp_path / which).mkdir()
    with pytest.raises(DataError, match="train without classes"):
        registry.check(DataSpec(**spec))
    for which, name in (("train", "a"), ("val", "a"), ("val", "b")):
        (tmp_path / which / name).mkdir()
    with pytest.raises(DataError, match="no valid file for the classes"):
        registry.load(DataSpec(**spec))
    for which, name in (("train", "a"), ("val", "a"), ("val", "b")):
        Image.new("RGB", (20, 20)).save(tmp_path / which / name / "0.png")
    with pytest.raises(DataError, match="1 classes in training, 2 in testing, b in one only"):
        registry.load(DataSpec(**spec))
