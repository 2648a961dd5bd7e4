"""How inputs are normalised, and what a spec may say about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

import raysurf as rs
from raysurf.data import registry
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError, SpecError
from raysurf.jobs.parse import parse_job
from raysurf.store.store import Store
from tests.support.execution import do
from tests.support.image_files import encoded, of_parquet

MEAN, STD = (0.6, 0.3, 0.5), (0.1, 0.4, 0.25)


def small_net(num_classes: int, image_shape: tuple[int, int, int]) -> torch.nn.Module:
    """A convolution and a layer; as its owner writes it."""
    channels, height, width = image_shape
    conv = torch.nn.Conv2d(channels, 4, 3, padding=1)
    return torch.nn.Sequential(
        conv, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * height * width, num_classes)
    )


def shades(folder: Path, per_class: int, seed: int) -> str:
    """A folder of two classes of noisy 6 x 6 images, of which one is a little brighter."""
    draw = np.random.default_rng(seed)
    for label, name in enumerate(("a", "b")):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = draw.normal(110 + 12 * label, 25, (6, 6, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return str(folder)


def owners_script(train: str, test: str, weights: Path) -> tuple[float, float]:
    """Train as one does without raysurf; returns the test split's accuracy and mean loss."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    torch.manual_seed(0)
    net, lossf = small_net(2, (3, 6, 6)), torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for _ in range(6):
        for images, labels in DataLoader(ImageFolder(train, transform), 16, shuffle=True):
            optimiser.zero_grad()
            lossf(net(images), labels).backward()
            optimiser.step()
    torch.save(net.state_dict(), weights)
    with torch.no_grad():
        ((images, labels),) = DataLoader(ImageFolder(test, transform), 1000)
        logits = net(images)
    return float((logits.argmax(1) == labels).double().mean()), float(lossf(logits, labels))


def test_weights_from_elsewhere_see_what_they_were_trained_on(tmp_path: Path) -> None:
    """A network of an owner's script has the script's test accuracy and loss here, once its mean and std are said."""
    places = {"train": shades(tmp_path / "train", 60, 0), "test": shades(tmp_path / "test", 60, 1)}
    accuracy, nll = owners_script(**places, weights=tmp_path / "net.pt")
    model = rs.ModelSpec(name="tests.data.test_normalisation:small_net")

    def measured(**stated: Any) -> dict[str, float]:
        data = rs.DataSpec(name="folder", **places, **stated)
        return do(rs.Weights(model=model, data=data, file=str(tmp_path / "net.pt")), Store(str(tmp_path / "r")))

    here = measured(mean=MEAN, std=STD)
    assert here["test/accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert here["test/nll"] == pytest.approx(nll, rel=1e-5)
    assert 0.7 < accuracy < 1  # Else it would say nothing.
    for other in (measured(), measured(normalise="none")):
        assert abs(other["test/nll"] - nll) > 0.01


@pytest.mark.parametrize("name", ["digits", "toy_gaussians", "folder", "image_stream"])
def test_every_set_takes_mean_and_std(name: str, tmp_path: Path) -> None:
    """Of pixels of 0 to 1, by a number or one a channel; without them, as they are; the fingerprint stays."""
    more: dict[str, Any] = {}
    if name in ("folder", "image_stream"):
        more = {which: shades(tmp_path / which, 5, 0) for which in ("train", "test")}
    if name == "image_stream":
        more |= {"workers": 0, "image_size": 6}
    own = registry.load(DataSpec(name=name, **more))
    scaled = own.test.images.double() / own.scale
    plain = registry.load(DataSpec(name=name, normalise="none", **more))
    assert torch.allclose(plain.normalise(plain.test.images).double(), scaled, atol=1e-6)
    one = registry.load(DataSpec(name=name, mean=0.25, std=0.5, **more))
    assert torch.allclose(one.normalise(one.test.images).double(), (scaled - 0.25) / 0.5, atol=1e-5)
    channels = own.image_shape[0]
    mean, std = tuple(0.1 * (i + 1) for i in range(channels)), tuple(0.2 * (i + 1) for i in range(channels))
    data = registry.load(DataSpec(name=name, mean=mean, std=std, **more))
    by_hand = (scaled - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    assert torch.allclose(data.normalise(data.test.images).double(), by_hand, atol=1e-5)
    assert own.fingerprint == plain.fingerprint == one.fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"mean": 0.5}, r"data: got mean:; expected mean: with std:"),
        (
            {"mean": [0.5, 0.5], "std": 0.5},
            r"data: got mean: of 2 numbers; expected a number, or one for each of its 3",
        ),
        ({"mean": 0.5, "std": [0.5, 0.5]}, r"data: got std: of 2 numbers"),
        ({"mean": 0.5, "std": 0.5, "normalise": "none"}, r"data: got mean: and std: and normalise:"),
        ({"mean": 0.5, "std": 0.5, "transform": "vgg"}, r"data: got mean: and std: and transform:"),
        ({"mean": [123.7, 116.3, 103.5], "std": 58}, r"mean: 123.7; expected that of pixels scaled to 0 to 1"),
        ({"mean": 10**400, "std": 1}, r"data\.mean: got 1000.*; expected a number, or a list of numbers"),
        ({"mean": 0.5, "std": 0}, r"^data\.std: got 0; expected greater than 0$"),
        (
            {"mean": "half", "std": [0.5, 0.5, "a"]},
            r"^data.mean: got 'half'; expected a number, or .*\ndata.std: got .*$",
        ),
        ({"normalise": "some"}, r"data.normalise: got 'some'; expected 'none'"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(data: dict[str, Any], said: str) -> None:
    """Half of it, two ways at once, another number of channels, and constants for 0 to 255."""
    with pytest.raises(SpecError, match=said):
        parse_job({"kind": "sgd", "model": "vgg16", "data": {"name": "cifar10", **data}, "epochs": 1})


def test_channels_that_only_the_files_tell(tmp_path: Path) -> None:
    """Of a set whose channels are known when it is read, another number of means is told then."""
    grey = encoded(Image.fromarray(np.zeros((4, 4), np.uint8)))
    with pytest.raises(DataError, match="mean: of 3 numbers; expected a number, or one for each of its 1 channels"):
        of_parquet(tmp_path / "a.parquet", [grey] * 2, mean=(0.5,) * 3, std=(0.5,) * 3)
