"""Points to begin a search with: what fits a space, and how what does not is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from raysurf.errors import SpecError
from raysurf.sweep.assignments import canonical, fitted, is_whole, misfits
from raysurf.sweep.document import load
from raysurf.sweep.json_schema import json_schema
from raysurf.sweep.space import Choice, Float, Int
from tests.support.cases import tiny_sgd

TREE = {
    "cycles": Int(1, 9, step=2),
    "schedule": Choice(
        ({"kind": "constant", "lr": Float(0.01, 0.1, log=True)}, {"kind": "cyclic", "high": Float(0.1, 0.5, step=0.1)})
    ),
    "nesterov": Choice((True, False)),
    "momentum": Choice((0, 0.9)),
}
FILE = """name: points
job:
  kind: swa
  start: {kind: sgd, model: lenet5, data: digits, epochs: 2, lr: 0.1}
  epochs: 4
  cycle_epochs: !int [1, 4]
  schedule: !choice
    - {kind: constant, lr: !float {low: 1e-3, high: 0.1, log: true}}
    - {kind: cyclic, high: 0.1, low: 0.05}
search:
  metric: validation/nll
  trials: 3
  points:
    - {cycle_epochs: 2, schedule: constant, schedule.constant.lr: 0.01}
"""


def faults(folder: Path, point: str) -> list[tuple[str, int | None, str]]:
    (folder / "points.yaml").write_text(FILE + f"    - {point}\n")
    with pytest.raises(SpecError, match="expected") as caught:
        load(folder / "points.yaml")
    return [(fault.where, fault.line, str(fault)) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("hole", "value", "expected"),
    [
        (TREE["cycles"], 3, 3),
        (TREE["cycles"], 4, None),
        (TREE["cycles"], 3.0, None),
        (TREE["cycles"], True, None),
        (Float(0.0, 1.0), 1, 1.0),
        (Float(0.0, 1.0), 1.5, None),
        (Float(0.1, 0.5, step=0.1), 0.1 + 0.2, 0.3),
        (Float(0.1, 0.9, step=0.1), 0.1 + 8 * 0.1 + 1e-16, 0.9),
        (Float(0.1, 0.9, step=0.1), 1.0, None),
        (Float(0.1, 0.5, step=0.1), 0.25, None),
        (TREE["nesterov"], True, "true"),
        (TREE["nesterov"], 1, None),
        (TREE["momentum"], 0.9, "0.9"),
        (TREE["momentum"], "0.9", "0.9"),
        (TREE["schedule"], "constant", "constant"),
        (TREE["schedule"], "linear", None),
    ],
)
def test_values_are_taken_as_suggestions_have_them(hole: Int | Float | Choice, value: object, expected: object) -> None:
    """A value within a hole becomes a float, a whole number or an option's label; any other is none."""
    taken = canonical(hole, value)
    assert (type(taken), taken) == (type(expected), expected)


def test_partial_and_whole_points() -> None:
    """A partial point fits, but is not whole; holes of an option belong to a point only where it is chosen."""
    assert misfits(TREE, {"cycles": 3}) == []
    whole = {"cycles": 1, "schedule": "constant", "schedule.constant.lr": 0.05, "nesterov": "true", "momentum": "0"}
    assert is_whole(TREE, whole)
    assert not is_whole(TREE, {"cycles": 3})
    assert not is_whole(TREE, {**whole, "schedule.constant.lr": 5.0})
    assert not is_whole(TREE, {**whole, "schedule": "cyclic"})
    assert fitted(TREE, {"momentum": 0.9, "nesterov": False}) == {"momentum": "0.9", "nesterov": "false"}


def test_every_bad_point_is_told_with_its_line(tmp_path: Path) -> None:
    """Unknown names, values out of range and holes of options that are not chosen are one fault each."""
    messages = faults(tmp_path, "{cycle_epoch: 2, cycle_epochs: 9, schedule.constant.lr: 0.01}")
    assert [(where, line) for where, line, _ in messages] == [
        ("search.points.1.cycle_epoch", 15),
        ("search.points.1.cycle_epochs", 15),
        ("search.points.1.schedule.constant.lr", 15),
    ]
    assert "did you mean 'cycle_epochs'?" in messages[0][2]
    assert "got 9; expected a value in 1 .. 4" in messages[1][2]
    assert "expected schedule: constant beside it" in messages[2][2]
    ((where, _, said),) = faults(tmp_path, "{schedule: linear, schedule.constant.lr: 0.01}")
    assert (where, "constant | cyclic" in said) == ("search.points.1.schedule", True)


def test_initial_is_another_name_of_points(tmp_path: Path) -> None:
    """Both names give one sweep, faults name the one that was written, and both together are refused."""
    (tmp_path / "a.yaml").write_text(FILE)
    (tmp_path / "b.yaml").write_text(FILE.replace("  points:", "  initial:"))
    (one,), (other,) = load(tmp_path / "a.yaml"), load(tmp_path / "b.yaml")
    assert one.digest == other.digest
    assert one.search is not None and other.search is not None and one.search.points == other.search.points
    written = {"job": tiny_sgd().tree, "search": {"metric": "validation/nll", "initial": [{"lr": 0.1}]}}
    checker = Draft202012Validator(json_schema())
    assert checker.is_valid(written)
    assert not checker.is_valid(written | {"search": {"metric": "validation/nll", "initial": 3}})
    (tmp_path / "b.yaml").write_text(FILE.replace("  points:", "  initial:") + "    - {cycle_epochs: 9}\n")
    with pytest.raises(SpecError, match="a value in 1") as caught:
        load(tmp_path / "b.yaml")
    assert [(fault.where, fault.line) for fault in caught.value.faults] == [("search.initial.1.cycle_epochs", 15)]
    (tmp_path / "b.yaml").write_text(FILE + "  initial: []\n")
    with pytest.raises(SpecError, match="two names of one thing"):
        load(tmp_path / "b.yaml")


def test_points_and_trials(tmp_path: Path) -> None:
    """More points than trials are refused, and so are points of a grid, which tries everything anyway."""
    (tmp_path / "sweep.yaml").write_text(FILE.replace("trials: 3", "trials: 1") + "    - {cycle_epochs: 1}\n")
    with pytest.raises(SpecError, match="at most 1, as many as trials"):
        load(tmp_path / "sweep.yaml")
    grid = FILE.replace("!float {low: 1e-3, high: 0.1, log: true}", "0.1").replace(
        "trials: 3", "trials: 3\n  sampler: grid"
    )
    (tmp_path / "sweep.yaml").write_text(grid.replace(", schedule.constant.lr: 0.01", ""))
    with pytest.raises(SpecError, match="a grid tries every assignment"):
        load(tmp_path / "sweep.yaml")


def test_options_without_a_name_are_called_by_what_they_are() -> None:
    """A hole is float or int, a list its values; a point gives such a choice null, or a value of the hole in it."""
    choice = Choice((None, Float(0.1, 0.9), [1, 2], [Int(1, 3)]))
    assert list(choice.by_label) == ["None", "float", "[1, 2]", "list"]
    tree = {"decay": choice}
    assert [misfits(tree, point) for point in ({"decay": None}, {"decay": 0.5}, {"decay": [1, 2]})] == [[], [], []]
    assert fitted(tree, {"decay": None}) == {"decay": "None"}
    assert fitted(tree, {"decay": 0.5}) == {"decay": "float", "decay.float": 0.5}
    assert fitted(tree, {"decay": [1, 2]}) == {"decay": "[1, 2]"}
    assert [str(fault) for fault in misfits(tree, {"decay": 2.0})] == [
        "decay: got 2.0; expected a value in None | float | [1, 2] | list"
    ]
