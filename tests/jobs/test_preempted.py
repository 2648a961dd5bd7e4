"""Jobs that are told to leave: they save what they have, and go on from it to the same end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import raysurf as rs
from raysurf.errors import PreemptedError
from raysurf.jobs.context import Progress, StoredCheckpoints
from raysurf.jobs.execute import execute
from raysurf.jobs.job import Job
from raysurf.store.lease import Lease
from raysurf.store.store import Store
from raysurf.training.loop import Lookout
from raysurf.training.workers import Workers
from tests.support.cases import JOBS, Killed, tiny_noise, tiny_sgd
from tests.support.execution import do, labels, rows, same_outcome, stores_with_inputs
from tests.support.image_files import cut_off, streamed_sgd
from tests.support.processes import FORKS

KINDS = ("sgd", "swa by steps", "swag", "fge", "swalp", "mean teacher", "curve", "path", "variational", "variance")
CASES: dict[str, Callable[[], object]] = {
    **{name: JOBS[name] for name in (*KINDS, "profile", "plane", "rays")},
    "augmented, dropout": lambda: noisy_sgd(),
    "adam": lambda: tiny_sgd(optimiser="adam", lr=1e-3),
    "strata": lambda: rs.Curve(
        start=tiny_sgd(), end=tiny_sgd(seed=1), epochs=1, lr=0.05, t_strata=2, shape="polygonal", fix_end=False
    ),
    "weight noise": lambda: tiny_noise(
        epochs=1, noise=(rs.VariationalDropout(layers="9", sharing="weight", local=False),)
    ),
}


def dropped(num_classes: int, image_shape: tuple[int, int, int]) -> torch.nn.Module:
    """Batch norm and dropout, so that there are buffers, and noise from torch's generator."""
    size = image_shape[0] * image_shape[1] * image_shape[2]
    return torch.nn.Sequential(
        torch.nn.BatchNorm2d(image_shape[0]),
        torch.nn.Flatten(),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(size, num_classes),
    )


def noisy_sgd(**changes: object) -> rs.SGD:
    """Training that draws from every generator that there is."""
    model = rs.ModelSpec(name="tests.jobs.test_preempted:dropped")
    data = rs.DataSpec(name="digits", share=0.2, augment="crop_flip")
    return tiny_sgd(model=model, data=data, **{"batch_size": 32, **changes})


def checkpoints(store: Store) -> list[str]:
    """Names of the states that there are, in all folders, in alphabetical order."""
    paths = [path for path in store.list() if "checkpoint" in path or "trajectories" in path]
    return sorted(path.rsplit("/", 1)[-1].removesuffix(".json") for path in paths if path.endswith(".json"))


def told_at(look: int) -> Callable[[], bool]:
    """What tells a worker to leave at its so manieth look, the first one being before anything has begun."""
    looks = itertools.count()
    return lambda: next(looks) == look


def sittings(job: Job, store: Store, look: int) -> int:
    """Run a job again and again until it is done; each time it is told to leave after so many steps or points."""
    for number in itertools.count(1):
        try:
            execute(job, store, Workers(is_told=told_at(look)), lambda at: None, labels())
        except PreemptedError:
            torch.manual_seed(number)  # Another process has other random numbers.
            continue
        return number
    raise AssertionError


@pytest.mark.parametrize("name", CASES)
def test_job_that_leaves_after_any_step_ends_with_the_same_rows(name: str, tmp_path: Path) -> None:
    """Told to leave after each step or point, or each second one, a job ends with the rows and files of a whole one."""
    job = CASES[name]()
    assert isinstance(job, Job)
    whole, *both = stores_with_inputs(job, tmp_path, 3)
    do(job, whole)
    for every, broken in enumerate(both, start=1):
        assert sittings(job, broken, every) > 3 - every
        same_outcome(job, broken, whole)


def test_preempted_job_has_not_failed(tmp_path: Path) -> None:
    """A job that leaves says where, keeps one state and the rows so far, and has no row that says that it failed."""
    job, store = noisy_sgd(), Store(str(tmp_path))
    workers = Workers(is_told=told_at(11))
    with pytest.raises(PreemptedError, match="told to leave, in epoch 2, after step 3; the state is kept"):
        execute(job, store, workers, lambda at: None, labels())
    assert checkpoints(store) == ["1", "1-3"]
    stored = rows(store)
    assert [row["epoch"] for row in stored["epochs"]] == [1]
    assert stored["runs"] == []


def test_broken_stream_leaves_and_goes_on(tmp_path: Path) -> None:
    """Streamed images are not read again, and those that cannot be read are counted once, whenever the job leaves."""
    job = streamed_sgd(tmp_path / "images", epochs=2)
    for name in ("ant", "bee"):
        cut_off(tmp_path / "images" / "train" / name / "3.jpg")
    whole, broken = Store(str(tmp_path / "whole")), Store(str(tmp_path / "broken"))
    do(job, whole)
    assert sittings(job, broken, 1) > 4
    assert rows(broken) == rows(whole)
    assert {row["skipped"] for row in rows(whole)["epochs"]} <= {1, 2}


def test_long_epochs_are_saved_in_their_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last state is old, one is taken in mid-epoch, from which a job that was killed goes on."""
    job = noisy_sgd()
    whole, broken = Store(str(tmp_path / "whole")), Store(str(tmp_path / "broken"))
    do(job, whole)
    monkeypatch.setattr(StoredCheckpoints, "LONG_S", 0.0)
    monkeypatch.setattr(StoredCheckpoints, "SHARE", 1e9)
    seen: list[int] = []

    def killed() -> bool:
        seen.append(len(seen))
        if len(seen) == 12:
            raise Killed
        return False

    with pytest.raises(Killed):
        execute(job, broken, Workers(is_told=killed), lambda at: None, labels())
    assert checkpoints(broken) == ["1-1", "1-2"]
    progress: list[Progress] = []
    execute(job, broken, Workers(), progress.append, labels())
    assert [at.epoch for at in progress] == [2]
    assert rows(broken) == rows(whole)


def test_longer_job_goes_on_from_where_a_shorter_one_left(tmp_path: Path) -> None:
    """A state within an epoch is one of its trajectory: a longer job takes it, and one that ends before it does not."""
    store, alone = Store(str(tmp_path / "shared")), Store(str(tmp_path / "alone"))
    short, middle, long = (noisy_sgd(epochs=4, until=until) for until in (1, 2, 3))
    do(long, alone)
    with pytest.raises(PreemptedError, match="in epoch 2, after step 2"):
        execute(middle, store, Workers(is_told=told_at(10)), lambda at: None, labels())
    progress: list[Progress] = []
    execute(long, store, Workers(), progress.append, labels())
    assert [at.epoch for at in progress] == [2, 3]
    path = f"jobs/{long.id}/weights.safetensors"
    assert store.get_bytes(path) == alone.get_bytes(path)
    beside = Store(str(tmp_path / "beside"))
    with pytest.raises(PreemptedError, match="in epoch 2, after step 2"):
        execute(middle, beside, Workers(is_told=told_at(10)), lambda at: None, labels())
    progress.clear()
    execute(short, beside, Workers(), progress.append, labels())
    assert [at.epoch for at in progress] == []
    assert "1-2" in checkpoints(beside)


def test_lone_worker_looks_after_every_step() -> None:
    """It leaves at once when it is told, and saves when a state is due."""
    assert Lookout(Workers(is_told=lambda: True)).look() == (True, True)
    assert Lookout(Workers()).look(lambda: True) == (False, True)
    assert Lookout(Workers()).look() == (False, False)


def test_nothing_is_begun_by_who_is_told_to_leave(tmp_path: Path) -> None:
    """A worker that has been told leaves before it begins a job, also while it waits for one; what is done it takes."""
    job, store = noisy_sgd(), Store(str(tmp_path))
    workers = Workers(is_told=lambda: True)
    with pytest.raises(PreemptedError, match=f"told to leave, before {job.id} began"):
        execute(job, store, workers, lambda at: None, labels())
    assert store.list() == []
    with Lease(store, job.trajectory or job.id, "somebody else", (0, job.epochs)) as lease:
        assert lease.take() is None
        with pytest.raises(PreemptedError, match="began"):
            execute(job, store, Workers(is_told=told_at(1)), lambda at: None, labels())
    metrics = do(job, store)
    assert execute(job, store, workers, lambda at: None, labels()) == metrics


@pytest.mark.slow
def test_group_leaves_together(tmp_path: Path) -> None:
    """When one worker of two is told, both leave after the same step, and end with the weights of an unbroken pair."""
    pair = [FORKS.Process(target=_be_of_two, args=(rank, tmp_path)) for rank in (0, 1)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(120)
        assert process.exitcode == 0
    places = [(tmp_path / f"left{rank}").read_text() for rank in (0, 1)]
    assert places[0] == places[1]
    assert len(places[0].splitlines()) == 8
    same_outcome(noisy_sgd(), Store(str(tmp_path / "broken")), Store(str(tmp_path / "whole")))


def _be_of_two(rank: int, folder: Path) -> None:
    """Train as one of two: without a break, then with rank 1 told to leave at each second step."""
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    Lookout.EVERY_S = 0.0
    job, left = noisy_sgd(), list[str]()
    execute(job, Store(str(folder / "whole")), Workers(rank, 2), lambda at: None, labels())
    while True:
        try:
            workers = Workers(rank, 2, is_told=told_at(2 if rank == 1 else -1))
            execute(job, Store(str(folder / "broken")), workers, lambda at: None, labels())
            break
        except PreemptedError as error:
            left.append(f"{error}\n")
            torch.manual_seed(len(left))
    (folder / f"left{rank}").write_text("".join(left))
    dist.destroy_process_group()
