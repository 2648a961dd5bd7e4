"""The README's table of sweep files: a row a file, with the question that the file asks, and costs that are counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raysurf.jobs.job import Job
from raysurf.sweep.document import load
from raysurf.sweep.plan import make_plan

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
ROWS = {
    name: (question, cost)
    for name, question, cost in re.findall(
        r"^\| `sweeps/([^`]+)` \| (.*) \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
}
COUNTED = {"epochs": "epochs_to_train", "points": "points_to_measure"}


def question_of(path: Path) -> str:
    """What a file asks in its first comment, to the first question mark."""
    lines = path.read_text().splitlines()
    comment = " ".join(line.removeprefix("#").strip() for line in lines[: _first(lines)])
    found = re.match(r"Question: (.*?\?)", comment)
    assert found is not None, f"{path.name} does not begin with a question"
    return found[1]


def _first(lines: list[str]) -> int:
    return next(place for place, line in enumerate(lines) if not line.startswith("#"))


def test_every_file_has_a_row_and_every_row_a_file() -> None:
    """The table lists the sweeps that there are, and no other."""
    assert set(ROWS) == {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.usefixtures("imagenet")
def test_a_row_says_what_its_file_asks_and_costs(path: Path) -> None:
    """The question is the file's; epochs and points are those that ``raysurf check`` counts, minutes are only said."""
    question, cost = ROWS[path.name]
    assert question == question_of(path)
    said = {unit: float(number.replace(",", "")) for number, unit in re.findall(r"([\d,]+) (epochs|points)", cost)}
    plans = make_plan(load(path), [], {}).sweeps
    bounds = {unit: [plan.left(lambda job, of=of: _count(job, of)) for plan in plans] for unit, of in COUNTED.items()}
    least, most = ({unit: sum(each[i] for each in found) for unit, found in bounds.items()} for i in (0, 1))
    if not said:
        assert re.search(r"\b(minutes?|hours?) (or two )?on 2 cores", cost)
        return
    assert said == {unit: count for unit, count in most.items() if count}
    assert ("at most" in cost) == (
        least != most or any(plan.sweep.search and plan.sweep.search.stopping for plan in plans)
    )


def _count(job: Job, of: str) -> float:
    return float(getattr(job, of))
