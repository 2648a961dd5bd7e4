"""Runs keep fingerprints of their network and data, and are used again only where these are what there is now."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import raysurf as rs
from raysurf import own_code
from raysurf.cluster.launch import plan_sweeps
from raysurf.errors import ChangedError
from raysurf.jobs.execute import execute
from raysurf.jobs.fingerprints import kept, shared
from raysurf.jobs.job import Job
from raysurf.jobs.outcome import outcome_path
from raysurf.jobs.provenance import Labels, Provenance
from raysurf.maintenance.fsck import fsck
from raysurf.models import registry as models
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from raysurf.training.workers import Workers
from tests.support.cases import tiny_sgd

NET = """
from torch import nn
from fp_width import width

def net(num_classes, image_shape):
    channels, height, across = image_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * across, width), nn.Linear(width, num_classes))
"""
Edit = Callable[[int], None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Write a network of some width into the working folder, as another process would find it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def edited(width: int) -> None:
        (tmp_path / "fp_net.py").write_text(NET)
        (tmp_path / "fp_width.py").write_text(f"width = {width}  # {'x' * width}\n")
        forget()

    def forget() -> None:
        own_code._digests.clear()
        for name in ("fp_net", "fp_width"):
            sys.modules.pop(name, None)

    edited(8)
    yield edited
    forget()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of three classes, 20 of each to train on."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 4)):
        for label in "abc":
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 255, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{number}.png")
    return tmp_path


def of_folder(folder: Path, **changes: object) -> rs.SGD:
    data = rs.DataSpec(name="folder", train=str(folder / "train"), test=str(folder / "test"))
    return rs.SGD(**{"model": "toy_mlp", "data": data, "epochs": 1, "lr": 0.01, "batch_size": 16} | changes)  # type: ignore[arg-type]


def swa(start: rs.SGD) -> rs.SWA:
    return rs.SWA(start=start, epochs=1, cycle_epochs=1, lr=0.01)


def run(what: Job | rs.Sweep, root: Path, **more: bool) -> None:
    """Run it in this process; nothing fails."""
    assert rs.run(what, str(root / "results"), executor="inline", **more).failed == 0


def test_an_edited_network_is_not_taken_for_the_same(edit: Edit, tmp_path: Path) -> None:
    """Neither for a job that is done nor for one on top of it; accepted once, it is accepted from then on."""
    job = tiny_sgd(model="fp_net:net", epochs=1)
    run(job, tmp_path)
    run(job, tmp_path)
    store = Store(str(tmp_path / "results"))
    then, _ = kept(store, job.id)
    assert then.keys() == {"model_source", "model_shapes", "data_fingerprint"}
    (row,) = read_rows(store, "runs", job.id)
    assert {name: row[name] for name in then} == then
    before = store.get_bytes(outcome_path(job.id))
    edit(12)
    for what in (job, swa(job), rs.Sweep(swa(job).with_holes(lr=rs.Each((0.1, 0.2))), name="each")):
        with pytest.raises(ChangedError, match=rf"{job.id}.*source.*expected {then['model_source']}.*--accept-changed"):
            run(what, tmp_path)
    assert store.get_bytes(outcome_path(job.id)) == before
    assert not read_rows(store, "runs", swa(job).id)
    run(job, tmp_path, accept_changed=True)
    run(job, tmp_path)
    edit(13)
    with pytest.raises(ChangedError):
        run(job, tmp_path)
    edit(8)
    run(job, tmp_path)


def test_trials_of_a_search_are_looked_at_before_anything_begins(edit: Edit, tmp_path: Path) -> None:
    """A search whose trials are done, and whose network was edited, is refused by its plan."""
    tree = tiny_sgd(model="fp_net:net", epochs=1).with_holes(lr=rs.Float(0.01, 0.1))
    sweep = rs.Sweep(tree, rs.Search(metric="validation/nll", trials=2, seed=0), name="search")
    run(sweep, tmp_path)
    store = Store(str(tmp_path / "results"))
    assert plan_sweeps([sweep], store).is_done
    edit(9)
    with pytest.raises(ChangedError, match="the source of its network"):
        plan_sweeps([sweep], store)
    assert plan_sweeps([sweep], store, accept_changed=True).is_done


def test_edited_data_are_not_taken_for_the_same(folder: Path) -> None:
    """Deleted images are seen by who is done and by who would go on; files that were only touched are the same."""
    start = of_folder(folder)
    run(start, folder)
    for path in (folder / "train" / "a").iterdir():
        os.utime(path, ns=(1, 1))
    run(start, folder)
    store = Store(str(folder / "results"))
    assert kept(store, start.id)[1].keys() == {"data_stamp"}
    then = kept(store, start.id)[0]["data_fingerprint"]
    for number in range(8):
        (folder / "train" / "a" / f"{number}.png").unlink()
    for job in (start, swa(start)):
        with pytest.raises(ChangedError, match=f"its data: got .*expected {then}"):
            run(job, folder)
    run(swa(start), folder, accept_changed=True)
    now = kept(store, swa(start).id)[0]["data_fingerprint"]
    assert now != then
    findings = [finding for finding in fsck(store).findings if finding.path == outcome_path(swa(start).id)]
    assert [finding.what for finding in findings] == [
        f"a run whose input {start.id} differs in its data: {then} there, {now} here"
    ]


def test_one_set_in_two_places_is_to_have_the_same_examples() -> None:
    """Examples are compared wherever their files lie; names, sizes and times of files in one place alone."""
    here, there = (tiny_sgd(data=rs.DataSpec(name="mnist", root=root)) for root in "ab")
    then = {"data_stamp": "1", "data_fingerprint": "2", "model_shapes": "3"}
    assert shared(here, there, then) == {"data_fingerprint": "2", "model_shapes": "3"}
    assert shared(here, here, then) == then
    assert shared(here, tiny_sgd(data="digits"), then) == {"model_shapes": "3"}


def test_a_worker_sees_what_no_plan_saw(folder: Path) -> None:
    """Data that differ when they are loaded end the job before its training, without a row that says that it failed."""
    start, results = of_folder(folder), str(folder / "results")
    run(start, folder)
    store = Store(results)
    outcome = store.get_json(outcome_path(start.id))
    del outcome["fingerprints"]["data_stamp"]
    store.put_json(outcome_path(start.id), outcome)
    (folder / "train" / "b" / "3.png").unlink()
    labels = Labels("s", "trial", "", Provenance(None, None, "", {}))
    with pytest.raises(ChangedError, match="its data"):
        execute(swa(start), store, Workers(), lambda progress: None, labels)
    assert not read_rows(store, "runs", swa(start).id)
    with pytest.raises(ChangedError, match="its data"):
        run(swa(start), folder)
    assert not store.exists(outcome_path(swa(start).id))


def test_a_trajectory_is_of_one_network_and_data(folder: Path) -> None:
    """A longer job does not go on from the state of a shorter one on other data, unless that is accepted."""
    short, long = (of_folder(folder, epochs=4, until=epochs) for epochs in (1, 2))
    assert short.trajectory == long.trajectory is not None
    run(short, folder)
    (folder / "test" / "b" / "3.png").unlink()
    with pytest.raises(ChangedError, match=r"the state of sgd-.* after 1 epochs.*its data"):
        run(long, folder)
    store = Store(str(folder / "results"))
    assert not read_rows(store, "runs", long.id)
    run(long, folder, accept_changed=True)


def test_another_file_of_weights_is_not_taken_for_the_same(tmp_path: Path) -> None:
    """Weights under one path are others after the next export; neither they nor what starts from them is reused."""
    file = tmp_path / "weights.pt"
    network = models.build("digits_conv", num_classes=10, image_shape=(1, 8, 8), options={"width": 4})
    torch.save(network.state_dict(), file)
    weights = rs.Weights(model=tiny_sgd().model, data=tiny_sgd().data, file=str(file))
    run(weights, tmp_path)
    run(weights, tmp_path)
    store = Store(str(tmp_path / "results"))
    then = kept(store, weights.id)[0]["weights_file"]
    with torch.no_grad():
        next(network.parameters()).add_(1)
    torch.save(network.state_dict(), file)
    for job in (weights, rs.SGD(start=weights, epochs=1, lr=0.1)):
        with pytest.raises(ChangedError, match=f"the file of its weights: got .*expected {then}"):
            run(job, tmp_path)
    assert [finding.path for finding in fsck(store).findings] == [outcome_path(weights.id)]
    run(weights, tmp_path, accept_changed=True)
    run(weights, tmp_path)


def test_other_shapes_of_an_input_are_told(tmp_path: Path) -> None:
    """Networks of raysurf's own are told apart by names and shapes of parameters, and not by their source."""
    start = tiny_sgd(epochs=1)
    run(start, tmp_path)
    store = Store(str(tmp_path / "results"))
    outcome = store.get_json(outcome_path(start.id))
    assert outcome["fingerprints"].keys() == {"model_shapes", "data_fingerprint"}
    outcome["fingerprints"]["model_shapes"] = "another"
    store.put_json(outcome_path(start.id), outcome)
    with pytest.raises(ChangedError, match=r"names and shapes of its network's parameters: got .*expected another"):
        run(swa(start), tmp_path)


@pytest.mark.parametrize("kept_before", [None, 5, {"data_fingerprint": 3}])
def test_stores_without_fingerprints_are_taken_as_they_are(kept_before: object, tmp_path: Path) -> None:
    """What an older raysurf wrote has none, and strangers may have written anything."""
    start = tiny_sgd(epochs=1)
    run(start, tmp_path)
    path = tmp_path / "results" / outcome_path(start.id)
    outcome = json.loads(path.read_text()) | {"fingerprints": kept_before, "accepted": kept_before}
    path.write_text(json.dumps(outcome))
    run(swa(start), tmp_path)


def test_what_differs_from_what_is_there_now_is_listed(edit: Edit, tmp_path: Path) -> None:
    """``fsck`` names the run, both fingerprints, and nothing else."""
    job = tiny_sgd(model="fp_net:net", epochs=1)
    run(job, tmp_path)
    store = Store(str(tmp_path / "results"))
    assert not fsck(store).findings
    edit(9)
    (finding,) = fsck(store).findings
    then, now = kept(store, job.id)[0]["model_source"], own_code.digest("fp_net:net")
    assert finding.what.endswith(f"in the source of its network: {then} then, {now} now")


def test_a_module_that_was_reloaded_is_the_edited_one(edit: Edit, tmp_path: Path) -> None:
    """As in a notebook, whose process goes on; what was not reloaded is still what it was when it was imported."""
    store, source = Store(str(tmp_path / "results")), tmp_path / "fp_net.py"
    run(tiny_sgd(model="fp_net:net", epochs=1), tmp_path)
    before = own_code.digest("fp_net:net")
    source.write_text(f"{NET}# edited\n")
    for lr, is_reloaded in ((0.2, False), (0.3, True)):
        if is_reloaded:
            importlib.reload(sys.modules["fp_net"])
        job = tiny_sgd(model="fp_net:net", epochs=1, lr=lr)
        run(job, tmp_path)
        assert (kept(store, job.id)[0]["model_source"] != before) == is_reloaded
    run(job, tmp_path)
