"""Points of a plane a second, against the loop that everyone writes: ``python -m tests.benchmarks.measure``.

LeNet-5 on MNIST: the real set if RAYSURF_DATA has it, else random images of its size. Ours is a plane through Ray, on
one worker and on two of one core each; the peer loads weights, passes over the training and the test set with a
DataLoader of two workers and PIL transforms, in batches of 128, on two threads (LeNet-5 has no batch norm, so neither
makes that pass). Start-up counts for neither: not Ray's, not the imports, not reading the set.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import ray
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

import raysurf as rs
from raysurf.cluster.ray_cluster import prepare
from raysurf.models import registry
from tests.benchmarks.rounds import in_turns, is_quick, seconds, tell

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SIZES = {"train": 60_000, "t10k": 10_000}


def main() -> None:
    """Print the rate against the loop's, and two workers' against one's."""
    quick = is_quick()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        mnist = _mnist(root, share=0.1 if quick else 1.0)
        weights = _weights(root, mnist)
        ours = {workers: _plane(root, weights, workers) for workers in (1, 2)}
        timed = {"one": ours[1], "two": ours[2], "peer": _loop(root, mnist)}
        rates = in_turns(timed, 2 if quick else 5)
    tell("measure/lenet5_mnist/2_workers", rates["two"], rates["peer"], unit="points/s", better="higher", target=3.0)
    tell("measure/scaling/2_over_1_worker", rates["two"], rates["one"], unit="points/s", better="higher", target=1.8)


def _mnist(root: Path, share: float) -> Path:
    """MNIST's files, unpacked; a share of them, or random ones if there are none."""
    given = Path(os.environ.get("RAYSURF_DATA", "nowhere")) / "MNIST" / "raw"
    raw = root / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in NAMES:
        count = SIZES[name.partition("-")[0]]
        images = "images" in name
        head, size = (16, 784) if images else (8, 1)
        if (given / f"{name}.gz").exists():
            data = gzip.decompress((given / f"{name}.gz").read_bytes())
        else:
            body = torch.randint(0, 256 if images else 10, (count * size,), dtype=torch.uint8).numpy().tobytes()
            shape = (count, 28, 28) if images else (count,)
            data = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape) + body
        kept = int(count * share)
        data = data[:4] + kept.to_bytes(4, "big") + data[8 : head + kept * size]
        (raw / name).write_bytes(data)
        (raw / f"{name}.gz").write_bytes(gzip.compress(data, 1))
    return root / "data"


def _weights(root: Path, mnist: Path) -> tuple[rs.Weights, ...]:
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        file = root / f"{seed}.safetensors"
        save_file(registry.build("lenet5", num_classes=10, image_shape=(1, 28, 28)).state_dict(), str(file))
        data = rs.DataSpec(name="mnist", root=str(mnist), download=False, validation=0)
        made.append(rs.Weights(model=rs.ModelSpec(name="lenet5"), data=data, file=str(file)))
    return tuple(made)


def _plane(root: Path, weights: tuple[rs.Weights, ...], workers: int) -> Callable[[], float]:
    """Points a second of a plane on so many Ray workers, from the time that each of its points took."""
    calls = 0

    def measure() -> float:
        nonlocal calls
        calls += 1
        prepare()
        ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            results = str(root / f"results-{workers}-{calls}")
            job = rs.Plane(weights=weights, grid=(4, 2 * workers), margin=0.2 + calls / 1000)
            assert rs.run(rs.Sweep(job, name="plane"), results).failed == 0
            query = "select count(distinct point) as n, sum(point_s) / 2 as busy_s from surface"
            (row,) = rs.results.open(results).sql(query).to_pylist()
            # Every point has a row for each of its two splits, with the time of both.
            return float(workers * row["n"] / row["busy_s"])
        finally:
            ray.shutdown()

    return measure


def _loop(root: Path, mnist: Path) -> Callable[[], float]:
    """Points a second of the obvious loop."""
    usual = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    loaders = [
        DataLoader(datasets.MNIST(str(mnist), train=train, transform=usual), batch_size=128, num_workers=2)
        for train in (True, False)
    ]
    states = [torch.load(_plain(root, seed), weights_only=True) for seed in range(3)]
    net = registry.build("lenet5", num_classes=10, image_shape=(1, 28, 28)).eval()
    torch.set_num_threads(2)

    def point() -> None:
        net.load_state_dict({k: 0.5 * v + 0.3 * states[1][k] + 0.2 * states[2][k] for k, v in states[0].items()})
        for loader in loaders:
            loss = correct = count = 0.0
            with torch.no_grad():
                for images, labels in loader:
                    logits = net(images)
                    loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
                    correct += (logits.argmax(1) == labels).sum().item()
                    count += len(labels)
            assert loss / count > 0 <= correct

    return lambda: 1.0 / seconds(point)


def _plain(root: Path, seed: int) -> Path:
    """The same weights as a plain state dict."""
    torch.manual_seed(seed)
    file = root / f"{seed}.pt"
    torch.save(registry.build("lenet5", num_classes=10, image_shape=(1, 28, 28)).state_dict(), file)
    return file


if __name__ == "__main__":
    main()
