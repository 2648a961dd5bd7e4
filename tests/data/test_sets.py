"""Data sets: real ones, and small ones that the tests make."""

from __future__ import annotations

import gzip
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from raysurf.data import registry
from raysurf.data.dataset import AugmentSeeds, MemorySplit, crop_flip, labelled_part, stratified_split
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError, UnknownNameError
from tests.support.cases import SHARED

needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="the real data of ../shared is not here")


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), share=st.floats(0, 1), seed=st.integers(0, 9))
def test_split_is_a_stratified_partition(labels: list[int], share: float, seed: int) -> None:
    """Both parts together are everything once, and every class has its share to within one."""
    every = np.array(labels, np.int64)
    held_out = round(share * len(every))
    kept, held = stratified_split(every, held_out, seed)
    assert len(held) == held_out
    assert sorted([*kept, *held]) == list(range(len(every)))
    for c in range(5):
        assert abs((every[held] == c).sum() - (every == c).sum() * held_out / len(every)) < 1 + 1e-9
    assert np.array_equal(held, stratified_split(every, held_out, seed)[1])


def test_digits_are_scikit_learns() -> None:
    """The 1,797 scans are those of load_digits, split 1,000 / 297 / 500 with every class in its share."""
    from sklearn.datasets import load_digits

    data = registry.load(DataSpec(name="digits"))
    assert data.validation is not None
    parts = (data.train, data.validation, data.test)
    assert [len(part) for part in parts] == [1000, 297, 500]
    ours = np.concatenate([part.images.numpy().reshape(len(part), -1) for part in parts])
    theirs = load_digits().data.astype(np.uint8)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))
    for part in parts:
        assert np.bincount(part.labels.numpy()).min() >= 0.09 * len(part)
    x = data.normalise(data.train.images)
    assert x.mean().abs() < 1e-5
    assert abs(float(x.std()) - 1) < 1e-3


def test_share_and_validation_are_taken() -> None:
    """A share keeps the classes' shares; validation: 0 holds nothing out; another share is other data."""
    small = registry.load(DataSpec(name="digits", share=0.1))
    assert len(small.train) == 100
    assert np.bincount(small.train.labels.numpy()).min() >= 9
    none = registry.load(DataSpec(name="digits", validation=0))
    assert none.validation is None
    assert len(none.train) == 1297
    assert small.fingerprint != none.fingerprint


def _crops_by_hand(images: np.ndarray, dy: np.ndarray, dx: np.ndarray, flips: np.ndarray, p: int) -> np.ndarray:
    out = []
    for image, y, x, flip in zip(images, dy, dx, flips, strict=True):
        crop = np.pad(image, ((0, 0), (p, p), (p, p)))[:, y : y + image.shape[1], x : x + image.shape[2]]
        out.append(crop[:, :, ::-1] if flip else crop)
    return np.stack(out)


def test_crop_flip_equals_one_image_at_a_time() -> None:
    """Whole-batch cropping equals padding, cropping and flipping each image by itself with the same draws."""
    images = torch.randint(0, 256, (50, 3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    got = crop_flip(images, torch.Generator().manual_seed(1), padding=2)
    g = torch.Generator().manual_seed(1)
    offsets = torch.randint(0, 5, (2, 50, 1), generator=g)[:, :, 0].numpy()
    flips = (torch.rand(50, 1, generator=g) < 0.5)[:, 0].numpy()
    assert np.array_equal(got.numpy(), _crops_by_hand(images.numpy(), offsets[0], offsets[1], flips, 2))
    assert got.dtype == torch.uint8


def test_crop_flip_is_uniform() -> None:
    """Every offset of 9 x 9 comes about equally often, and half of the images are flipped."""
    images = torch.zeros(20000, 1, 17, 17, dtype=torch.uint8)
    images[:, 0, 8, 8] = 1
    images[:, 0, 8, 9] = 2
    out = crop_flip(images, torch.Generator().manual_seed(0))
    place = (out[:, 0] == 1).flatten(1).int().argmax(1)
    counts = torch.bincount(place, minlength=289).view(17, 17)[4:13, 4:13]
    assert counts.sum() == 20000
    assert counts.min() > 0.7 * 20000 / 81
    assert counts.max() < 1.35 * 20000 / 81
    flipped = (out[torch.arange(20000), 0].flatten(1).roll(-1, 1).gather(1, place[:, None]) != 2).float().mean()
    assert 0.48 < flipped < 0.52


@pytest.mark.parametrize(("augment", "reflect"), [("crop_flip", False), ("reflect_flip", True)])
def test_augment_says_what_is_beyond_the_border(augment: str, reflect: bool) -> None:
    """Batches are padded as the spec says, those of labelled examples too; an image of one pixel stays."""
    spec = DataSpec(name="digits", share=0.1, labelled=20, augment=augment)  # type: ignore[arg-type]
    train = registry.load(spec).train
    for split in (train, labelled_part(train)):
        (batch,) = split.batches([slice(None)], AugmentSeeds(0, 3))
        expected = crop_flip(split.images, torch.Generator().manual_seed(3), reflect=reflect)
        assert torch.equal(batch.images, expected)
    dot = torch.ones(5, 2, 1, 1)
    assert torch.equal(crop_flip(dot, torch.Generator().manual_seed(0), reflect=True), dot)


def _crops(images: np.ndarray) -> np.ndarray:
    """Numbers of the crops of an image whose pixels say where they are, [N, 2, 32, 32]: (9 dy + dx) * 2 + flip."""
    row, column = images[:, :, 16, 15].T - 1
    flip = images[:, 1, 16, 14] > images[:, 1, 16, 15]
    numbers: np.ndarray = (9 * (row - 12) + column - np.where(flip, 12, 11)) * 2 + flip
    return numbers


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_crop_flip_has_torchvisions_distribution(mode: str) -> None:
    """It gives the 162 images that torchvision's RandomCrop and flip give, and each as often, by chi-squared tests."""
    from scipy.stats import chi2_contingency, chisquare
    from torchvision.transforms import v2

    place = torch.stack(torch.meshgrid(torch.arange(1, 33), torch.arange(1, 33), indexing="ij")).to(torch.uint8)
    count = 8100
    split = MemorySplit(place.expand(count, 2, 32, 32), torch.zeros(count, dtype=torch.long), reflect=mode == "reflect")
    (batch,) = split.batches([slice(None)], AugmentSeeds(0, 0))
    ours = batch.images.numpy()
    transform = v2.Compose([v2.RandomCrop(32, padding=4, padding_mode=mode), v2.RandomHorizontalFlip()])
    torch.manual_seed(0)
    theirs = np.stack([transform(place).numpy() for _ in range(count)])
    crops = [dict(zip(_crops(images).tolist(), images, strict=True)) for images in (ours, theirs)]
    assert set(crops[0]) == set(crops[1]) == set(range(162))
    assert all(np.array_equal(crops[0][crop], crops[1][crop]) for crop in range(162))
    counts = [np.bincount(_crops(images), minlength=162) for images in (ours, theirs)]
    assert chisquare(counts[0]).pvalue > 0.01
    assert chi2_contingency(np.stack(counts)).pvalue > 0.01


def _png(value: int, size: tuple[int, int] = (6, 6)) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def _parquet(path: Path, struct: bool, images: list[bytes], **more: Any) -> str:
    column = [{"bytes": b, "path": ""} for b in images] if struct else images
    pq.write_table(pa.table({"image": column, "label": [i % 2 for i in range(len(images))], **more}), path)
    return str(path)


@pytest.mark.parametrize("struct", [True, False])
def test_parquet_of_encoded_images(struct: bool, tmp_path: Path) -> None:
    """Images in a struct or as bare bytes are decoded, a tenth is held out, and the classes are counted."""
    files = {w: _parquet(tmp_path / f"{w}.parquet", struct, [_png(i) for i in range(20)]) for w in ("train", "test")}
    data = registry.load(DataSpec(name="parquet", **files))
    assert data.image_shape == (3, 6, 6)
    assert data.num_classes == 2
    assert data.validation is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 20)
    assert sorted(data.test.images[:, 0, 0, 0].tolist()) == list(range(20))


def test_folder_of_images(tmp_path: Path) -> None:
    """Subfolders are classes, in alphabetical order."""
    for which in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / which / name).mkdir(parents=True)
            for i in range(10):
                (tmp_path / which / name / f"{i}.png").write_bytes(_png(100 * label + i))
    data = registry.load(DataSpec(name="folder", train=str(tmp_path / "train"), test=str(tmp_path / "test")))
    assert data.test.labels.tolist() == [0] * 10 + [1] * 10
    assert data.test.images[10, 0, 0, 0] == 100


def _idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_mnist_is_read_where_it_lies(tmp_path: Path) -> None:
    """The gzipped files are read without unpacking beside them, so a folder that cannot be written will do."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 30), ("t10k", 10)):
        _idx(raw / f"{prefix}-images-idx3-ubyte.gz", np.full((count, 28, 28), 7, np.uint8))
        _idx(raw / f"{prefix}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8) % 10)
    data = registry.load(DataSpec(name="mnist", root=str(tmp_path), download=False, validation=10))
    assert (len(data.train), len(data.test), data.image_shape) == (20, 10, (1, 28, 28))
    stated = registry.load(
        DataSpec(name="mnist", root=str(tmp_path), download=False, validation=10, mean=0.5, std=0.25)
    )
    assert torch.allclose(data.normalise(data.test.images), torch.tensor((7 / 255 - 0.1307) / 0.3081))
    assert torch.allclose(stated.normalise(stated.test.images), torch.tensor((7 / 255 - 0.5) / 0.25))
    assert sorted(path.name for path in raw.iterdir()) == sorted(path.name for path in raw.glob("*.gz"))
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"nonsense"))
    with pytest.raises(DataError, match="no IDX file"):
        registry.load(DataSpec(name="mnist", root=str(tmp_path), download=False, validation=9))


def test_coarse_classes_of_cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The 20 superclasses are in the file of the 100 classes; the papers' two transforms differ in their constants."""
    from torchvision import datasets

    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for which, count in (("train", 200), ("test", 100)):
        content = {"data": np.zeros((count, 3072), np.uint8), "filenames": [], "batch_label": ""}
        labels = {"fine_labels": [i % 100 for i in range(count)], "coarse_labels": [i % 20 for i in range(count)]}
        (folder / which).write_bytes(pickle.dumps({**content, **labels}))
    for check in ("_check_integrity", "_load_meta"):
        monkeypatch.setattr(datasets.CIFAR100, check, lambda self: True)
    spec = {"root": str(tmp_path), "download": False, "validation": 20}
    fine, coarse = (registry.load(DataSpec(name=name, **spec)) for name in ("cifar100", "cifar100_coarse"))
    assert (fine.num_classes, coarse.num_classes) == (100, 20)
    assert fine.test.labels.tolist() == list(range(100))
    assert coarse.test.labels.tolist() == [i % 20 for i in range(100)]
    assert coarse.image_shape == (3, 32, 32)
    vgg = registry.load(DataSpec(name="cifar100", transform="vgg", **spec))
    black = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    for data, mean, std in (
        (fine, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        (vgg, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ):
        assert torch.allclose(data.normalise(black)[0, :, 0, 0], -torch.tensor(mean) / torch.tensor(std))
        assert data.augment == "crop_flip"


@needs_shared
def test_real_mnist() -> None:
    """The real digits: 55,000 / 5,000 / 10,000, and the test set's classes are the published ones."""
    data = registry.load(DataSpec(name="mnist", root=str(SHARED), download=False))
    assert data.validation is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (55000, 5000, 10000)
    assert int((data.test.labels == 1).sum()) == 1135
    assert abs(float(data.normalise(data.test.images[:2000]).mean())) < 0.1


@needs_shared
def test_real_cifar_parquet() -> None:
    """The real CIFAR-10 images decode, are augmented by default, and every class has its tenth."""
    folder = SHARED / "cifar10-jpeg"
    spec = DataSpec(name="parquet", train=str(folder / "test.parquet"), test=str(folder / "test.parquet"))
    data = registry.load(spec)
    assert data.image_shape == (3, 32, 32)
    assert data.augment == "crop_flip"
    assert np.bincount(data.test.labels.numpy()).tolist() == [1000] * 10


@pytest.mark.parametrize(
    ("spec", "kind", "said"),
    [
        ({"name": "minst"}, UnknownNameError, "did you mean 'mnist'"),
        ({"name": "mnist", "download": False, "root": "nowhere"}, DataError, "none of its files under nowhere"),
        ({"name": "parquet"}, DataError, "no train:"),
        ({"name": "folder", "train": "nope", "test": "nope"}, DataError, "no such path nope"),
        ({"name": "digits", "train": "x"}, DataError, "use name: parquet or folder"),
        ({"name": "digits", "validation": 5000}, DataError, "fewer than its 1297"),
        ({"name": "mnist", "transform": "vgg"}, DataError, "transform: vgg; expected it with cifar10, cifar100"),
        ({"name": "cifar10", "augment": "resized_crop"}, DataError, "none, crop_flip or reflect_flip for this set"),
        ({"name": "imagenet", "augment": "crop_flip"}, DataError, "none or resized_crop for this set"),
        ({"name": "digits", "image_size": 8}, DataError, "it with imagenet, image_stream only"),
    ],
)
def test_bad_data_is_refused(spec: dict[str, Any], kind: type[Exception], said: str) -> None:
    """Each mistake says what was got and what to do."""
    with pytest.raises(kind, match=said):
        registry.load(DataSpec(**spec))


@pytest.mark.parametrize(
    ("images", "more", "said"),
    [
        ([_png(1), b"no image"], {}, "row 1: no image of a known format; expected one of JPEG"),
        ([_png(1), _png(1, (5, 6))], {}, "row 1: 5 x 6 pixels; expected every image of the first one's 6 x 6"),
    ],
)
def test_bad_images_are_named(images: list[bytes], more: dict[str, Any], said: str, tmp_path: Path) -> None:
    """An image that cannot be decoded, or has another size, is told with its row."""
    file = _parquet(tmp_path / "a.parquet", False, images, **more)
    with pytest.raises(DataError, match=said):
        registry.load(DataSpec(name="parquet", train=file, test=file))


def test_download_without_a_network_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set that cannot be fetched is one error that says where it was looked for."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="or a network to download it from"):
        registry.load(DataSpec(name="fashion_mnist", root=str(tmp_path)))


@pytest.mark.parametrize("name", ["digits", "toy_gaussians"])
def test_normalising_leaves_the_data_alone(name: str) -> None:
    """Inputs are normal after it, whatever their type, and the set itself is as it was."""
    data = registry.load(DataSpec(name=name))
    before = data.train.images.clone()
    normal = data.normalise(data.train.images)
    assert torch.equal(data.train.images, before)
    assert normal.dtype == torch.float32
    assert torch.allclose(normal.mean((0, 2, 3)), torch.zeros(normal.shape[1]), atol=1e-4)
    assert torch.allclose(normal.std((0, 2, 3)), torch.ones(normal.shape[1]), atol=1e-2)


def test_toy_problem_is_four_gaussians() -> None:
    """500 examples of each class for training and for test, about the corners of a square, always the same."""
    data = registry.load(DataSpec(name="toy_gaussians"))
    assert (len(data.train), len(data.test), data.validation, data.num_classes) == (2000, 2000, None, 4)
    for label, centre in enumerate(((3.0, 3.0), (3.0, 10.0), (10.0, 3.0), (10.0, 10.0))):
        mine = data.test.images[data.test.labels == label].flatten(1)
        assert len(mine) == 500
        assert torch.allclose(mine.mean(0), torch.tensor(centre), atol=0.2)
        assert torch.allclose(mine.std(0), torch.ones(2), atol=0.1)
