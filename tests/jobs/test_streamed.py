"""Whole jobs on a streamed image folder, made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import raysurf as rs
from raysurf.cluster.events import Event, Notice
from raysurf.store.store import Store
from tests.support.execution import do, do_broken_off, rows, same_outcome
from tests.support.image_files import cut_off, streamed_sgd


def test_number_of_processes_is_no_part_of_a_job(tmp_path: Path) -> None:
    """A job has the same id at any number of decoding processes; fields at their defaults change no id."""
    job = streamed_sgd(tmp_path)
    data = job.data_spec
    assert streamed_sgd(tmp_path, data=data.model_copy(update={"workers": 3})).id == job.id
    assert streamed_sgd(tmp_path, data=data.model_copy(update={"image_size": 16})).id != job.id
    assert rs.SGD(model="lenet5", data="cifar10", epochs=1).id == "sgd-a5617af7e761bbf0"
    vgg = rs.DataSpec(name="cifar10", transform="vgg")
    assert rs.SGD(model="lenet5", data=vgg, epochs=1).id != "sgd-a5617af7e761bbf0"


def test_broken_off_stream_ends_with_the_same_rows(tmp_path: Path) -> None:
    """A job that is broken off after every epoch and goes on has the rows of an unbroken one."""
    job = streamed_sgd(tmp_path)
    whole, broken = Store(str(tmp_path / "whole")), Store(str(tmp_path / "broken"))
    do(job, whole)
    assert len(do_broken_off(job, broken)) == 3
    same_outcome(job, broken, whole)


def test_corrupt_images_are_counted_and_reported(tmp_path: Path) -> None:
    """A run with corrupt images in train and test is done; rows count them, ``runs`` names them, a notice says so."""
    job = streamed_sgd(tmp_path / "images")
    streamed = tmp_path / "images"
    train = [cut_off(streamed / "train" / name / "3.jpg") for name in ("ant", "bee", "cat")]
    test = cut_off(streamed / "test" / "bee" / "2.jpg")
    heard: list[Event] = []
    finished = rs.run(job, results=str(tmp_path / "r"), listener=heard.append)
    assert (finished.trials, finished.failed) == (1, 0)
    tables = rows(Store(str(tmp_path / "r")))
    (run,) = tables["runs"]
    assert run["skipped"] == sorted([*train, test])
    seen: dict[str, Any] = {row["split"]: row["num_examples"] for row in tables["predictions"]}
    assert seen["train"] + seen["validation"] == 24 - 3
    assert seen["test"] == 12 - 1
    assert [row["skipped"] for row in tables["epochs"]] == [18 - seen["train"]] * 3
    (notice,) = [event.text for event in heard if isinstance(event, Notice)]
    assert notice == f"{job.id} skipped 4 image files that could not be read, such as {run['skipped'][0]}"


def test_everything_that_measures_takes_streams(tmp_path: Path) -> None:
    """Lines, ensembles of weights and noisy layers are measured on what can be read, and say how much that was."""
    start = streamed_sgd(tmp_path, epochs=1)
    for which in ("train", "test"):
        cut_off(tmp_path / which / "bee" / "2.jpg")
    noisy = rs.Variational(
        start=start, epochs=1, lr=1e-3, noise=(rs.VariationalDropout(layers="9"),), elbo_samples=1, num_samples=2
    )
    jobs = (
        rs.Profile(along=rs.Line(start=start, end=streamed_sgd(tmp_path, epochs=1, seed=1)), num_points=2),
        rs.FGE(start=start, epochs=2, cycle_epochs=1, lr=0.01),
        rs.NoiseOf(weights=noisy, layer="9", neurons=(0,), num_samples=2, num_draws=4),
    )
    store = Store(str(tmp_path / "r"))
    for job in jobs:
        do(job, store)
    tables = rows(store)
    assert {row["skipped"] for row in tables["surface"] if row["split"] == "test"} == {1}
    assert {row["num_examples"] for row in tables["predictions"] if row["split"] == "test"} == {11}
    assert {row["num_draws"] for row in tables["activations"] if row["label"] == 1} == {6}
