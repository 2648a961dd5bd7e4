"""Checkpoints that are cut short, or in which a byte has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cluster import events
from raysurf.jobs.context import StoredCheckpoints
from tests.support.paced import paced
from tests.support.stored_rows import check_undisturbed

pytestmark = pytest.mark.fault


def flipped(data: bytes, at: int) -> bytes:
    """The same with the lowest bit of one byte changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def digit_of_a_row(data: bytes) -> int:
    """Where a digit of the first validation loss stands."""
    return data.index(b".", data.index(b'"validation_loss"')) + 3


HARMS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "tensors cut short": ("safetensors", lambda data: data[:-20]),
    "tensors changed": ("safetensors", lambda data: flipped(data, len(data) - 5)),
    "tensors empty": ("safetensors", lambda data: b""),
    "note cut short": ("json", lambda data: data[: len(data) // 2]),
    "checksum changed": ("json", lambda data: flipped(data, data.index(b"sha256") + 12)),
    "row changed": ("json", lambda data: flipped(data, digit_of_a_row(data))),
}


def epochs_trained(sweep: rs.Sweep, uri: str, until: int | None = None) -> list[int]:
    """Run in this process, broken off after an epoch if one is given; the epochs that were told."""
    seen: list[int] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.RunProgressed):
            seen.append(event.epoch)
            if until is not None and event.epoch >= until:
                raise KeyboardInterrupt

    rs.run(sweep, uri, executor="inline", listener=listen)
    return seen


def states(root: Path) -> list[int]:
    """Epochs of the states that are kept, rising."""
    return sorted(int(path.stem) for path in root.glob("trajectories/*/*.json"))


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run; its folder has the network's log as well."""
    folder = tmp_path_factory.mktemp("calm")
    epochs_trained(sweep_in(folder), str(folder / "r"))
    return folder


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is taken after every epoch, however busy the machine is."""
    monkeypatch.setattr(StoredCheckpoints, "SHARE", 1e9)


def sweep_in(folder: Path) -> rs.Sweep:
    """One trial that takes over a second."""
    return paced(folder, trials=1, epochs=12, step_s=0.05)


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_state_is_passed_over(harm: str, calm: Path, tmp_path: Path) -> None:
    """The newest state is found to be damaged, the one before it is gone on from, and nothing else is lost."""
    sweep, root = sweep_in(calm), tmp_path / "r"
    with pytest.raises(KeyboardInterrupt):
        epochs_trained(sweep, str(root), until=4)
    before, newest = states(root)
    suffix, change = HARMS[harm]
    (path,) = root.glob(f"trajectories/*/{newest}.{suffix}")
    data = path.read_bytes()
    path.write_bytes(change(data))
    assert path.read_bytes() != data
    assert epochs_trained(sweep, str(root))[0] == before + 1
    check_undisturbed(str(root), str(calm / "r"))


def test_without_a_sound_state_training_begins_anew(calm: Path, tmp_path: Path) -> None:
    """When every state is damaged the rows are those of an undisturbed run all the same."""
    sweep, root = sweep_in(calm), tmp_path / "r"
    with pytest.raises(KeyboardInterrupt):
        epochs_trained(sweep, str(root), until=4)
    for path in root.glob("trajectories/*/*.safetensors"):
        path.write_bytes(flipped(path.read_bytes(), -9))
    assert epochs_trained(sweep, str(root))[0] == 1
    check_undisturbed(str(root), str(calm / "r"))
