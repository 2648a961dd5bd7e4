"""Jobs as values, and what they leave behind."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import raysurf as rs
from raysurf.cluster.ray_cluster import prepare
from raysurf.errors import DataError, SpecError
from raysurf.jobs.context import Progress
from raysurf.jobs.job import Job
from raysurf.jobs.outcome import metrics_of
from raysurf.jobs.parse import parse_job
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from raysurf.training.checkpoints import Place
from tests.support.cases import JOBS, tiny_sgd
from tests.support.contracts import JobContract, ResumedContract
from tests.support.execution import context_of, do, rows

prepare()


class TestJobs(JobContract):
    @pytest.fixture(params=JOBS)
    def job(self, request: pytest.FixtureRequest) -> Any:
        return JOBS[request.param]()


class TestResumedJobs(ResumedContract):
    @pytest.fixture(params=["sgd", "swa", "fge", "swalp", "mean teacher", "curve", "profile", "plane", "rays", "path"])
    def job(self, request: pytest.FixtureRequest) -> Any:
        return JOBS[request.param]()


def test_id_is_the_content() -> None:
    """The id changes with what decides the outcome, and with nothing else; the group is that of all seeds."""
    base = tiny_sgd()
    assert base.id == tiny_sgd(seed=0).id
    assert base.id == tiny_sgd(data=rs.DataSpec(name="digits", share=0.2, root="elsewhere", download=False)).id
    assert len({base.id, tiny_sgd(seed=1).id, tiny_sgd(lr=0.2).id, tiny_sgd(epochs=3).id}) == 4
    assert base.group == tiny_sgd(seed=1).group != tiny_sgd(lr=0.2).group
    assert base.id.startswith("sgd-")


def test_seed_goes_where_none_was_stated() -> None:
    """A replicate's seed reaches inputs that state none, and leaves alone those that do."""
    free = rs.SWA(start=tiny_sgd(), epochs=1, lr=0.1).with_seed(7)
    assert (free.seed, free.start.seed) == (7, 7)  # type: ignore[attr-defined]
    shared = rs.SWA(start=tiny_sgd(seed=0), epochs=1, lr=0.1).with_seed(7)
    assert (shared.seed, shared.start.seed) == (7, 0)  # type: ignore[attr-defined]


def test_settings_come_from_the_start() -> None:
    """What a job leaves out is as its start has it, through any number of steps."""
    job = rs.SWA(start=rs.SWA(start=tiny_sgd(weight_decay=0.3), epochs=1, lr=0.1), epochs=1, lr=0.1, momentum=0.5)
    assert [job.setting(n) for n in ("weight_decay", "momentum", "nesterov")] == [0.3, 0.5, False]


def test_budget_counts_inputs_once() -> None:
    """Epochs spent over those of the full schedule; a start that two inputs share counts once."""
    half = tiny_sgd(epochs=10, until=5)
    assert tiny_sgd(epochs=10).budget_spent == 1.0
    assert rs.SWA(start=half, epochs=10, lr=0.1).budget_spent == 1.5
    two = [rs.SWA(start=half, epochs=2, lr=0.1, seed=seed) for seed in (0, 1)]
    assert rs.Profile(along=rs.Line(start=two[0], end=two[1])).budget_spent == pytest.approx(0.9)


@pytest.mark.parametrize("name", JOBS)
def test_job_runs_and_is_not_run_again(name: str, tmp_path: Path) -> None:
    """Every kind trains or measures, leaves finite metrics by its announced names, and is taken as done after."""
    job, store = JOBS[name](), Store(str(tmp_path / "r"))
    assert isinstance(job, Job)
    metrics = do(job, store)
    assert metrics
    assert set(metrics) <= set(job.metric_names())
    assert all(math.isfinite(v) for v in metrics.values())
    assert metrics_of(store, job.id) == metrics
    assert {row["run_id"] for row in rows(store)["runs"]} == {job.id, *(ancestor.id for ancestor in job.ancestors)}
    kept = [path for path in store.list() if "checkpoint" in path or "trajectories" in path]
    assert all("/end" in path for path in kept)
    assert bool(kept) == any(stage.may_go_on for stage in (job, *job.ancestors))

    def fail(at: Progress) -> None:
        raise AssertionError("it ran again")

    assert do(job, store, fail) == metrics


def test_corrupt_checkpoint_is_passed_over(tmp_path: Path) -> None:
    """A checkpoint whose checksum is wrong is not used; the one before it is."""
    store, job = Store(str(tmp_path)), tiny_sgd(epochs=4)
    keeper = context_of(job, store).checkpoints
    keeper.SHARE = 1e9  # type: ignore[misc]
    for epoch in (1, 2, 3):
        keeper.save(Place(epoch), lambda epoch=epoch: {"w": torch.full((3,), float(epoch))})  # type: ignore[misc]
    assert keeper.load()[0] == Place(3)  # type: ignore[index]
    path = f"trajectories/{job.trajectory}/3.safetensors"
    data = bytearray(store.get_bytes(path))
    data[-1] ^= 1
    store.put_bytes(path, bytes(data))
    place, state = keeper.load()  # type: ignore[misc]
    assert place == Place(2)
    assert torch.equal(state["w"], torch.full((3,), 2.0))


def test_failed_job_is_a_row(tmp_path: Path) -> None:
    """A run that diverges leaves a row with its traceback, and is not taken as done."""
    store, job = Store(str(tmp_path)), tiny_sgd(lr=1e9, epochs=3)
    with pytest.raises(ArithmeticError, match="not finite at epoch"):
        do(job, store)
    (row,) = rows(store)["runs"]
    assert row["status"] == "failed"
    assert "DivergedError" in row["error"]
    assert metrics_of(store, job.id) is None


def test_average_of_one_cycle_is_the_last_iterate(tmp_path: Path) -> None:
    """With one member, SWA's weights are the last SGD weights; start weights count only when asked for."""
    store = Store(str(tmp_path))
    one = rs.SWA(start=tiny_sgd(), epochs=2, cycle_epochs=2, lr=0.05)
    both = rs.SWA(start=tiny_sgd(), epochs=2, cycle_epochs=2, lr=0.05, include_start=True)
    points = {}
    for job in (one, both):
        do(job, store)
        context = context_of(job, store)
        points[job.id] = context.weights(job)[0], context.load(job, "last"), context.weights(job.start)[0]
    average, last, start = points[one.id]
    assert all(torch.equal(average[k], last[f"point/{k}"]) for k in average)
    average, last, start = points[both.id]
    assert all(torch.allclose(average[k], (last[f"point/{k}"] + start[k]) / 2, atol=1e-6) for k in average)


def test_profile_starts_and_ends_at_the_ends(tmp_path: Path) -> None:
    """With fixed statistics, the first point of a line is its start: the same accuracy on every split."""
    store = Store(str(tmp_path))
    line = rs.Profile(along=rs.Line(start=tiny_sgd(), end=tiny_sgd(seed=1)), num_points=2, batchnorm="interpolate")
    do(line, store)
    for point, end in ((0, tiny_sgd()), (1, tiny_sgd(seed=1))):
        expected = {row["split"]: row["nll"] for row in read_rows(store, "predictions", end.id)}
        measured = {row["split"]: row["nll"] for row in read_rows(store, "surface", line.id) if row["point"] == point}
        assert measured == pytest.approx(expected, rel=1e-6)
    assert metrics_of(store, line.id)["length"] > 0  # type: ignore[index]


def test_members_are_taken_where_the_rate_is_lowest(tmp_path: Path) -> None:
    """Three cycles give three members and their mean; the ensemble of one is that member's own prediction."""
    from raysurf.weightspace.point import combine, distance

    job, store = JOBS["fge"](), Store(str(tmp_path))
    assert isinstance(job, rs.FGE)
    do(job, store)
    context = context_of(job, store)
    members = [job.named_point(context, f"member{i}")[0] for i in (1, 2, 3)]
    average = job.named_point(context, "average")[0]
    assert job.point_names == ("member1", "member2", "member3", "average")
    assert distance(average, combine(members, [1 / 3] * 3)) < 1e-5
    assert min(distance(a, b) for a, b in zip(members, members[1:], strict=False)) > 0
    lowest = min(read_rows(store, "epochs", job.id), key=lambda row: row["lr"])
    assert lowest["epoch"] % 2 == 1
    rows = read_rows(store, "predictions", job.id)
    ensemble = [row for row in rows if row["scheme"] == "ensemble" and row["split"] == "test"]
    assert [row["num_samples"] for row in ensemble] == [1, 2, 3]
    assert ensemble[2]["nll"] != ensemble[0]["nll"]
    plane = rs.Plane(
        weights=tuple(rs.PointOf(of=job, name=f"member{i}") for i in (1, 2, 3)),
        grid=2,
        draw=(rs.PointOf(of=job, name="average"),),
    )
    do(plane, store)
    (drawn,) = [row for row in read_rows(store, "landmarks", plane.id) if row["landmark"] == 3]
    assert drawn["name"] == "fge average"
    assert drawn["off_plane"] < 1e-4


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_come_from_a_file(suffix: str, tmp_path: Path) -> None:
    """A state dict in a file gives the same metrics as the network that it came from."""
    from raysurf.models import registry

    torch.manual_seed(0)
    net = registry.build("digits_conv", num_classes=10, image_shape=(1, 8, 8))
    file = str(tmp_path / f"net{suffix}")
    state = {k: v.contiguous() for k, v in net.state_dict().items()}
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    store = Store(str(tmp_path / "r"))
    metrics = do(rs.Weights(model="digits_conv", data="digits", file=file), store)  # type: ignore[arg-type]
    assert metrics["test/nll"] > 1
    wrong = rs.ModelSpec(name="digits_conv", options={"width": 4})
    with pytest.raises(DataError, match=r"of another shape: 0\.weight \[16, 1, 3, 3\], not \[4, 1, 3, 3\], .* more"):
        do(rs.Weights(model=wrong, data="digits", file=file), store)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["file", "pretrained"])
def test_weights_of_another_number_of_classes_are_named(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torchvision network's weights for 7 classes do not fit one for 10: the error names the head's tensors alone."""
    from torchvision.models import ResNet18_Weights, resnet18

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # Where torch keeps what it has downloaded.
    file = tmp_path / "hub" / "checkpoints" / Path(ResNet18_Weights.IMAGENET1K_V1.url).name
    file.parent.mkdir(parents=True)
    torch.save(resnet18(num_classes=7).state_dict(), file)
    given = {"file": str(file)} if source == "file" else {"pretrained": "IMAGENET1K_V1"}
    job = rs.Weights(model="resnet18", data="digits", **given)  # type: ignore[arg-type]
    said = (
        r"got of another shape: fc\.weight \[7, 512\], not \[10, 512\], fc\.bias \[7\], not \[10\]; expected .*resnet18"
    )
    with pytest.raises(DataError, match=said):
        do(job, Store(str(tmp_path / "r")))


def test_bf16_is_near_fp32(tmp_path: Path) -> None:
    """Autocast to bfloat16 changes the metrics a little, and keeps the weights in fp32."""
    store, nlls = Store(str(tmp_path)), {}
    for precision in ("fp32", "bf16"):
        job = tiny_sgd(precision=precision, lr=0.05)
        nlls[precision] = do(job, store)["validation/nll"]
        weights = store.get_bytes(f"jobs/{job.id}/weights.safetensors")
        assert b"BF16" not in weights
    assert nlls["fp32"] != nlls["bf16"] == pytest.approx(nlls["fp32"], rel=0.1)


def test_file_with_code_is_refused(tmp_path: Path) -> None:
    """A pickle that would run code is not loaded."""
    import os

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    file = tmp_path / "evil.pt"
    file.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match="plain state dict"):
        do(rs.Weights(model="digits_conv", data="digits", file=str(file)), Store(str(tmp_path / "r")))  # type: ignore[arg-type]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"kind": "sdg"}, "did you mean 'sgd'"),
        ({"epochs": 1}, "kind: one of"),
        (
            {"kind": "sgd", "model": "lenet5", "data": "digits", "epocs": 3},
            r"epocs: got an unknown key.*did you mean 'epochs'",
        ),
        ({"kind": "sgd", "model": "lenet6", "data": "digits", "epochs": 3}, r"did you mean 'lenet5'"),
        ({"kind": "sgd", "model": "lenet5", "data": "digit", "epochs": 3}, r"did you mean 'digits'"),
        ({"kind": "sgd", "model": "lenet5", "data": "digits", "epochs": True}, r"epochs: got True; expected .*integer"),
        ({"kind": "sgd", "model": "lenet5", "data": "digits", "epochs": 0}, "greater than or equal to 1"),
        ({"kind": "sgd", "epochs": 3}, "model and data are required"),
        ({"kind": "sgd", "model": "lenet5", "data": "digits", "epochs": 3, "until": 4}, "beyond epochs 3"),
        (
            {"kind": "swa", "start": tiny_sgd().tree, "epochs": 2, "cycle_epochs": 3, "lr": 0.1},
            "no cycle ends within the run",
        ),
        ({"kind": "swa", "start": tiny_sgd().tree, "epochs": 2}, "lr or schedule is required"),
        ({"kind": "fge", "start": tiny_sgd().tree, "epochs": 2}, "lr or schedule is required"),
        (
            {"kind": "fge", "start": tiny_sgd().tree, "epochs": 2, "cycle_epochs": 5, "lr": 0.1},
            "no member: half a cycle",
        ),
        ({"kind": "curve", "start": tiny_sgd().tree, "end": tiny_sgd().tree, "epochs": 2}, "the same job"),
        (
            {"kind": "curve", "start": tiny_sgd().tree, "end": tiny_sgd(seed=1).tree, "epochs": 2, "num_bends": 0},
            "num_bends",
        ),
        ({"kind": "predict", "weights": {"kind": "profile"}}, r"weights\.kind: got 'profile'"),
        (
            {"kind": "weights", "model": "resnet50", "data": "digits", "pretrained": "IMAGENET_V1"},
            r"pretrained: got 'IMAGENET_V1'; expected one of IMAGENET1K_V1, .*did you mean 'IMAGENET1K_V1'",
        ),
        (
            {"kind": "predict", "weights": {"kind": "weights", "model": "vgg16", "data": "digits", "pretrained": "V1"}},
            r"weights\.pretrained: .*expected model: torchvision\.vgg16, or file",
        ),
        (
            {"kind": "sgd", "model": "lenet5", "data": {"name": "mnist", "download": False}, "epochs": 3},
            "allow download: true",
        ),
        (
            {"kind": "sgd", "model": "lenet5", "data": {"name": "parquet", "train": "no.parquet"}, "epochs": 3},
            "no such path",
        ),
    ],
)
def test_bad_jobs_are_refused(tree: dict[str, Any], said: str) -> None:
    """Each mistake is one clear error that names its place."""
    with pytest.raises(SpecError, match=said):
        parse_job(tree)


def test_every_fault_is_found_at_once() -> None:
    """Faults of a job and of its inputs are reported together."""
    tree = {"kind": "swa", "start": {"kind": "sgd", "model": "lenet6", "data": "digits"}, "epochs": -1, "lrr": 0.1}
    with pytest.raises(SpecError, match="unknown") as caught:
        parse_job(tree)
    assert {fault.where for fault in caught.value.faults} == {"start.model", "start.epochs", "epochs", "lrr"}
    inner = {"kind": "weights", "model": "resnet50", "data": "digits", "pretrained": "V1"}
    with pytest.raises(SpecError, match="IMAGENET1K_V1") as caught:
        parse_job({"kind": "predict", "weights": inner})
    assert [fault.where for fault in caught.value.faults] == ["weights.pretrained"]
    with pytest.raises(SpecError, match="weights"):
        parse_job({"kind": "predict", "weights": None})
