"""Holes fill to what they say."""

from __future__ import annotations

import pickle
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysurf.errors import SpecError
from raysurf.sweep import assignments, space
from raysurf.sweep.space import Choice, Each, Float, Int

TREE = {
    "epochs": Int(1, 4),
    "schedule": Choice(
        (
            {"kind": "constant", "lr": Float(0.1, 0.3, step=0.1)},
            {"kind": "cyclic", "high": Float(1, 1), "inner": Choice(("a", True, 3))},
        )
    ),
    "model": Each(("x", "y")),
    "rest": [1, "two", None],
}


def _agrees(tree: Any, filled: Any, params: dict[str, Any], name: str = "") -> None:
    """Compare a filled tree with what the parameters say, by walking both."""
    if isinstance(tree, Float | Int):
        assert filled == params[name]
        assert tree.low <= filled <= tree.high
    elif isinstance(tree, Choice | Each):
        label = params[name]
        option = tree.options[space.labels(tree).index(label)]
        _agrees(option, filled, params, f"{name}.{label}")
    elif isinstance(tree, dict):
        assert filled.keys() == tree.keys()
        for key in tree:
            _agrees(tree[key], filled[key], params, f"{name}.{key}" if name else key)
    else:
        assert filled == tree


@given(seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_suggested_values_fill_every_hole(seed: int) -> None:
    """What Optuna suggests, with a configuration, fills the tree to just those values."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    params = {**space.suggest(TREE, study.ask()), "model": "y"}
    _agrees(TREE, space.fill(TREE, params), params)


@pytest.mark.parametrize(("make", "count"), [(assignments.grid, 4 * (3 + 3) * 2), (assignments.samples, None)])
def test_enumerated_values_fill_every_hole(make: Any, count: int | None) -> None:
    """Each item of a grid and of the samples is complete, and different from the others; a grid has them all."""
    trials = list(make(TREE))
    assert len(trials) == count or count is None
    for params in trials:
        _agrees(TREE, space.fill(TREE, params), params)
    assert len({repr(sorted(params.items())) for params in trials}) == len(trials)


def test_samples_touch_everything_and_stay_few() -> None:
    """Both bounds and every option are in some sample, whose number is linear; an option's holes where it is chosen."""
    trials = assignments.samples(TREE)
    assert "schedule.constant.lr" in trials[0] and "schedule.cyclic.high" not in trials[0]
    seen = {(name, value) for params in trials for name, value in params.items()}
    for name, hole in space.parameters(TREE).items():
        values = space.labels(hole) if isinstance(hole, Choice | Each) else [hole.low, hole.high]
        assert {(name, value) for value in values} <= seen
    assert len(trials) <= 10


def test_configurations_are_the_product_of_the_axes() -> None:
    """Two axes of two and three give six configurations; none gives one."""
    assert len(space.configurations({"a": Each((1, 2)), "b": {"c": Each(("x", "y", "z"))}})) == 6
    assert space.configurations({"a": Int(1, 2)}) == [{}]


def test_labels_are_unique() -> None:
    """Options of one kind keep a name of their own each, even where another bears the one that a number would give."""
    assert space.labels(Choice(({"kind": "a", "x": 1}, {"kind": "a", "x": 2}, 5, [1]))) == [
        "a (1)",
        "a (2)",
        "5",
        "[1]",
    ]
    options = ("a", "a", "a (1)")
    assert [space.fill(Choice(options), {"": label}) for label in space.labels(Choice(options))] == list(options)


def test_values_stay_on_the_steps() -> None:
    """Bounds off the steps are never sampled, and Optuna draws from the same values without a warning."""
    tree = {"a": Int(1, 10, step=4), "b": Float(0, 1, step=0.3)}
    grid = list(assignments.grid(tree))
    assert {params["a"] for params in grid} == {1, 5, 9}
    assert {params["b"] for params in grid} == {0.0, 0.3, 0.6, 0.9}
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    assert all(params in grid for params in [*assignments.samples(tree), space.suggest(tree, trial)])


@pytest.mark.parametrize("hole", space.parameters(TREE).values(), ids=str)
def test_holes_cross_processes_and_hash(hole: space.Hole) -> None:
    """A hole, options that are mappings included, is equal to its pickled copy and hashes as it does."""
    copy = pickle.loads(pickle.dumps(hole))
    assert copy == hole
    assert hash(copy) == hash(hole)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Float(2, 1), "low 2 above high 1"),
        (lambda: Float(0, 1, log=True), "no 0"),
        (lambda: Float(0, float("inf")), "finite numbers"),
        (lambda: Int(1, 2.5), "whole numbers"),  # type: ignore[arg-type]
        (lambda: Int(True, 3), "whole numbers"),
        (lambda: Int(1, 9, step=0), "above 0"),
        (lambda: Float(1, 9, log=True, step=2), "one of step and log"),
        (lambda: Choice(()), "an empty choice"),
        (lambda: Choice("abc"), "a list or tuple"),  # type: ignore[arg-type]
        (lambda: Each(3), "a list or tuple"),  # type: ignore[arg-type]
        (lambda: Int(1, 9, step=None), "above 0"),  # type: ignore[arg-type]
        (lambda: Float(1, 9, log=True, step=1), "one of step and log"),
        (lambda: Float(0, 10**400), "finite numbers"),
        (lambda: space.parameters({"a.b": Int(1, 2), "a": {"b": Int(3, 4)}}), "2 holes of this name"),
        (lambda: Each([]), "an empty choice"),  # type: ignore[arg-type]
        (lambda: space.fill(TREE, {"epochs": 1}), "no value"),
        (lambda: space.fill({"a": 1}, {"b": 2}), "the holes are none"),
        (lambda: assignments.grid({"a": Float(0, 1)}), "a: got 0 .. 1; expected a step"),
        (lambda: space.configurations({"a": Choice((Each((1, 2)),))}), "outside every choice"),
    ],
)
def test_bad_holes_are_refused(build: Any, said: str) -> None:
    """Each mistake says what was got and what was expected."""
    with pytest.raises(SpecError, match=said):
        build()
