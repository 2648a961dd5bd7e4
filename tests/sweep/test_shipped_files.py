"""The files in ``sweeps/``: each is sound, asks a question, and has a row in the README with its cost."""

from __future__ import annotations

import re
from itertools import takewhile
from operator import attrgetter
from pathlib import Path

import pytest

from raysurf.sweep.document import load
from raysurf.sweep.plan import make_plan
from raysurf.sweep.rates import EPOCH_STEPS, chains, rates_of
from raysurf.training.schedules import Schedule
from raysurf.values import kinds
from tests.support.cases import ROOT

README = (ROOT / "README.md").read_text()
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
ROWS = {
    name: (question, cost)
    for name, question, cost in re.findall(r"^\| `sweeps/([^`]+)` \| (.*) \| (.*) \|$", README, re.MULTILINE)
}
COUNTED = {"epochs": "epochs_to_train", "points": "points_to_measure"}


@pytest.fixture(autouse=True)
def _imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder where ImageNet would lie: one class, without images."""
    for part in ("train", "val"):
        (tmp_path / "imagenet" / part / "n01440764").mkdir(parents=True)
    monkeypatch.setenv("RAYSURF_DATA", str(tmp_path))


def question_of(path: Path) -> str:
    """What a file asks in its first comment, to the first question mark."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    found = re.match(r"Question: (.*?\?)", " ".join(line.strip("# ") for line in lines))
    assert found is not None, f"{path.name} does not begin with a question"
    return found[1]


def test_every_file_has_a_row_and_every_row_a_file() -> None:
    """The table lists the sweeps that there are, and no other."""
    assert set(ROWS) == {path.name for path in FILES}


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*/*.yaml")), ids=lambda path: path.name)
def test_a_recipe_is_sound(path: Path) -> None:
    """It loads, and says in its first line what it is for."""
    assert load(path)
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_asks_and_costs_what_its_row_says(path: Path) -> None:
    """The question is the file's; epochs and points are those that ``raysurf check`` counts, minutes are only said.

    Each chain of training has a positive rate at every step, and its members lie within it.
    """
    sweeps = load(path)
    question, cost = ROWS[path.name]
    assert question == question_of(path)
    plans = make_plan(sweeps, [], {}).sweeps
    said = {unit: float(number.replace(",", "")) for number, unit in re.findall(r"([\d,]+) (epochs|points)", cost)}
    if said:
        left = {unit: [plan.left(attrgetter(name)) for plan in plans] for unit, name in COUNTED.items()}
        least, most = ({unit: sum(bounds[i] for bounds in each) for unit, each in left.items()} for i in (0, 1))
        stops = any(plan.sweep.search and plan.sweep.search.stopping for plan in plans)
        assert said == {unit: count for unit, count in most.items() if count}
        assert ("at most" in cost) == (least != most or stops)
    else:
        assert re.search(r"\b(minutes?|hours?) (or two )?on 2 cores", cost)
    assert chains(sweeps)
    for rates in map(rates_of, chains(sweeps)):
        assert min(rates.rates) > 0
        assert len(rates.rates) == len(rates.epochs)
        assert all(0 < member <= rates.epochs[-1] + 1 / EPOCH_STEPS for member in rates.members)


def test_the_docs_picture_has_every_schedule() -> None:
    """The file behind the README's picture uses every kind of schedule."""
    shown = {stage.schedule.kind for chain in chains(load(ROOT / "sweeps/schedules.yaml")) for stage in chain.stages}
    assert shown == set(kinds(Schedule))
    assert all(f"| `{kind}`" in README for kind in shown)
