"""The files in ``sweeps/``: each is sound, asks a question, and has a row in the docs with its cost."""

from __future__ import annotations

import re
from operator import attrgetter
from pathlib import Path

import pytest

from raysurf.cli.examples import examples
from raysurf.cli.examples import question as question_in
from raysurf.sweep.document import load
from raysurf.sweep.plan import make_plan
from raysurf.sweep.rates import EPOCH_STEPS, chains, rates_of
from raysurf.training.schedules import Schedule
from raysurf.values import kinds
from tests.support.cases import ROOT

FILES = sorted(examples().values())
ROWS = {
    name: (question, cost)
    for name, question, cost in re.findall(
        r"^\| `sweeps/(?:\w+/)?(\w+\.yaml)` \| (.*) \| (.*) \| .+ \|$",
        (ROOT / "docs/sweeps.md").read_text(),
        re.MULTILINE,
    )
}
COUNTED = {"epochs": "epochs_to_train", "points": "points_to_measure"}


@pytest.fixture(autouse=True)
def _imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder where ImageNet would lie: one class, without images."""
    for part in ("train", "val"):
        (tmp_path / "imagenet" / part / "n01440764").mkdir(parents=True)
    monkeypatch.setenv("RAYSURF_DATA", str(tmp_path))


def test_every_file_has_a_row_and_every_row_a_file() -> None:
    """The table lists the sweeps that there are, and no other."""
    assert set(ROWS) == {path.name for path in FILES}


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps/recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_a_recipe_is_sound(path: Path) -> None:
    """It loads, and says in its first line what it is for."""
    assert load(path)
    assert path.read_text().splitlines()[1].startswith("# ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_asks_and_costs_what_its_row_says(path: Path) -> None:
    """Question and cost are those of the file; each chain of training has positive rates and its members within it."""
    sweeps = load(path)
    question, cost = ROWS[path.name]
    assert question == question_in(path)
    plans = make_plan(sweeps, [], {}).sweeps
    said = {unit: float(number.replace(",", "")) for number, unit in re.findall(r"([\d,]+) (epochs|points)", cost)}
    if said:
        left = {unit: [plan.left(attrgetter(name)) for plan in plans] for unit, name in COUNTED.items()}
        least, most = ({unit: sum(bounds[i] for bounds in ranges) for unit, ranges in left.items()} for i in (0, 1))
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
    """The file behind the docs' picture uses every kind of schedule."""
    shown = {
        stage.schedule.kind for chain in chains(load(ROOT / "sweeps/small/schedules.yaml")) for stage in chain.stages
    }
    assert shown == set(kinds(Schedule))
