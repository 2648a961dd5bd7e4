"""``raysurf why`` and ``raysurf diff``, as they are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.jobs.job import Job
from tests.support.cases import JOBS, tiny_sgd
from tests.support.command import raysurf
from tests.support.failed_runs import DIVERGED, USERS, FailedStore


def said(command: str) -> str:
    """What a command prints."""
    done = raysurf(command)
    assert (done.code, done.err) == (0, "")
    return done.out


@pytest.fixture
def store() -> FailedStore:
    """Twelve runs of which nine failed, in two ways."""
    store = FailedStore(Path("results"))
    for number in range(12):
        error = DIVERGED if number < 8 else USERS if number == 8 else None
        job = tiny_sgd(lr=1.0 + number, seed=number)
        store.run(job, error, trial=number, arm=f"sgd lr={1.0 + number}")
        store.trial(number, job, error=error and "short", arm=f"sgd lr={1.0 + number}")
    return store


def test_why_is_plain_and_narrow(store: FailedStore) -> None:
    """Counts, kinds, places, configurations and commands to run again are said, in lines of at most 80 characters."""
    text = said("why s")
    lines = text.splitlines()
    assert lines[0] == "9 of 12 runs failed, in 2 ways"
    assert lines[2] == "1. 8 runs: DivergedError at raysurf/training/loop.py:166: diverged"
    for part in ("the loss is not finite at epoch 1", "s 0, s 1, ", "sgd lr=1.0, ", ", 2 more", "0, 1, 2, 3, 4, 5,"):
        assert part in text
    assert text.count("Traceback (most recent call last):") == 2
    assert "raysurf run faults.yaml --wandb off --retry-failed" in text
    assert "2. 1 run: RuntimeError at /home/ada/nets.py:12: an error in your own code" in text
    quoted = {f"   {line}" for traceback in (DIVERGED, USERS) for line in traceback.splitlines()}
    own = [line for line in lines if line not in quoted]
    assert len(own) > 20
    assert max(map(len, own)) <= 80
    assert "\x1b" not in text


def test_why_in_json(store: FailedStore) -> None:
    """JSON has an entry a group with every run's id; nothing that failed is an empty list."""
    first, second = json.loads(said("why --format json"))
    assert (first["kind"], first["error"], first["count"], len(first["run_ids"])) == ("diverged", "DivergedError", 8, 8)
    assert (second["place"], second["trial"]) == ("/home/ada/nets.py:12", [8])
    assert first["traceback"] == DIVERGED.strip("\n")


def test_nothing_failed() -> None:
    """A store without failures says so."""
    FailedStore(Path("results")).run(tiny_sgd(), role="baseline")
    assert said("why") == "nothing failed: 1 run looked at\n"
    assert json.loads(said("why --format json")) == []


# Texts that look like numbers or words of YAML, and small and large numbers.
ODD = {"a": "1e-3", "b": "yes", "c": "null", "d": "0x1", "e": ": #", "f": "", "g": "Ä", "h": 1e-5, "i": 1e22, "j": True}
FILES = JOBS | {"odd": lambda: tiny_sgd(model=rs.ModelSpec(name="tests.support.cases:any_options", options=ODD))}


@pytest.mark.parametrize("name", FILES)
def test_the_job_of_a_run_is_a_file(name: str) -> None:
    """``why --job`` prints a file whose job is the run's own, to the last digit."""
    job = FILES[name]()
    assert isinstance(job, Job)
    FailedStore(Path("results")).run(job, DIVERGED, trial=3)
    path = Path("job.yaml")
    path.write_text(said(f"why --job {job.id[:-2]}"))
    (sweep,) = rs.load(path)
    assert sweep.samples[0].jobs[0] == job
    assert path.read_text().startswith(f"# {job.id} (trial of s, trial 3): failed\nkind: {job.kind}\n")


def test_diff_is_plain_and_narrow(store: FailedStore) -> None:
    """What differs stands side by side, metrics with their difference, in lines of at most 80 characters."""
    a, b = tiny_sgd(lr=0.1), tiny_sgd(lr=0.25, model=rs.ModelSpec(name="digits_conv", options={"width": 8}))
    store.run(a, metrics={"test/nll": 0.5, "test/error": 0.25}, data_fingerprint="aa")
    store.run(b, metrics={"test/nll": 0.25, "test/error": 0.25}, data_fingerprint="bb")
    text = said(f"diff {a.id} {b.id}")
    lines = [line.split() for line in text.splitlines()]
    assert lines[:2] == [["A", a.id], ["B", b.id]]
    for line in (
        ["lr", "0.1", "0.25"],
        ["model.options.width", "4", "8"],
        ["data_fingerprint", "aa", "bb"],
        ["test/nll", "0.5", "0.25", "-0.25"],
        ["test/error", "0.25", "0.25", "+0"],
    ):
        assert line in lines
    assert "the same in both: versions, run" in text
    assert max(map(len, text.splitlines())) <= 80
    difference = json.loads(said(f"diff {a.id} {b.id} --format json"))
    assert {"name": "lr", "a": 0.1, "b": 0.25} in difference["job"]
