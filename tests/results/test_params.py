"""Trials with their searched values as typed columns; the best of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import raysurf as rs
from raysurf.cli.trial_text import params_text
from raysurf.errors import StoreError, UnknownNameError
from raysurf.jobs.job import to_tree
from raysurf.results import open
from raysurf.results.trials import typed
from raysurf.store.parts import values_in
from raysurf.tracking.native_sweep import param_key
from tests.support.cases import tiny_sgd
from tests.support.trial_rows import LARGE, mixed, write


def test_values_have_their_types(tmp_path: Path) -> None:
    """Numbers, choices and conditional parameters are columns of their types, null where a trial lacks them."""
    table = mixed(tmp_path).params("mixed")
    assert table.to_pylist() == [
        {
            **{"sweep": "mixed", "trial": i, "arm": "sgd", "state": state, "validation/nll": value},
            **{"std": None if i else 0.5, "lr": lr},
            **{"epochs": epochs, "schedule": schedule, "nesterov": nesterov, "schedule.cyclic.low": low},
        }
        for i, (state, value, lr, epochs, schedule, nesterov, low) in enumerate(
            [
                ("done", 0.0, 1.0, 2, "constant", True, None),
                ("done", 0.25, 0.5, 3, "cyclic", None, 0.1),
                ("running", None, 2.0, 4, "constant", None, None),
                ("failed", None, 2.5, 4, "constant", None, None),
            ]
        )
    ]
    types = {name: table.schema.field(name).type for name in ("lr", "epochs", "schedule", "nesterov")}
    assert types == {"lr": pa.float64(), "epochs": pa.int64(), "schedule": pa.string(), "nesterov": pa.bool_()}
    assert all(field.metadata[b"meaning"] for field in table.schema)


def test_values_keep_apart_from_other_columns(tmp_path: Path) -> None:
    """Generations before are left out, a name that is taken is told apart, a number beyond 64 bits is a float."""
    (row,) = mixed(tmp_path).params("other").to_pylist()
    expected = {
        "sweep": "other",
        "trial": 0,
        "arm": "sgd",
        "state": "done",
        "width": float(LARGE),
        "params.state": "on",
    }
    assert row == expected


def test_every_searched_metric_is_a_column(tmp_path: Path) -> None:
    """Of several metrics each has its own; a trial that has not ended has none of them."""
    two = {"metric": "validation/error, validation/nll", "mode": "min, min", "value": None}
    write(tmp_path, "two", 0, {}, values=(0.25, 1.5), **two)
    write(tmp_path, "two", 1, {}, state="running", **two)
    rows = open(str(tmp_path)).params("two").select(["validation/error", "validation/nll"]).to_pylist()
    assert rows == [
        {"validation/error": 0.25, "validation/nll": 1.5},
        {"validation/error": None, "validation/nll": None},
    ]


def test_sweeps_that_are_not_there_are_told(tmp_path: Path) -> None:
    """An unknown sweep is answered with those that there are; one without trials has no rows."""
    results = mixed(tmp_path)
    for ask in (results.params, results.best):
        with pytest.raises(
            UnknownNameError, match=r"unknown sweep: got 'mixd'; expected one of mixed, other \(did you"
        ):
            ask("mixd")
    assert results.running() == {"mixed": 1}


def test_the_best_is_a_value(tmp_path: Path) -> None:
    """NaN is never the best; a sweep without a finished trial, or without a search, is told."""
    write(tmp_path, "s", 0, {}, value=float("nan"))
    write(tmp_path, "s", 1, {}, value=0.5)
    write(tmp_path, "s", 2, {}, value=0.25)
    write(tmp_path, "s", 3, {}, value=0.125, state="stopped")
    write(tmp_path, "up", 0, {}, value=0.5, mode="max")
    write(tmp_path, "up", 1, {}, value=0.75, mode="max")
    write(tmp_path, "begun", 0, {}, value=None, state="running")
    write(tmp_path, "begun", 1, {}, value=None, state="failed")
    write(tmp_path, "plain", 0, {}, value=None, metric="", mode="")
    write(tmp_path, "mute", 0, {}, value=None)
    write(tmp_path, "mute", 1, {}, value=float("nan"))
    results = open(str(tmp_path))
    assert (results.best("s")["trial"], results.best("up")["trial"]) == (2, 1)
    with pytest.raises(StoreError, match=r"no finished trial of 'begun' \(1 failed, 1 running\)"):
        results.best("begun")
    with pytest.raises(StoreError, match=r"no validation/nll in any finished trial of 'mute'"):
        results.best("mute")
    with pytest.raises(StoreError, match="'plain', which searches nothing"):
        results.best("plain")


@given(
    st.lists(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4), max_size=6)
)
def test_any_values_make_a_column(values: list[Any]) -> None:
    """Whatever a store holds there is a column of it, as long, null exactly where there is none."""
    column = typed(values).to_pylist()
    assert [value is None for value in column] == [value is None for value in values]
    if not all(isinstance(value, str) for value in column if value is not None):
        assert [value for value in column if value is not None] == pytest.approx([v for v in values if v is not None])


def test_a_choice_of_whole_jobs_is_called_job() -> None:
    """In tables, W&B's config, ``arm`` and print; older rows, which had no name for it, are read so too."""
    tree = rs.Choice((to_tree(tiny_sgd(epochs=1)), to_tree(rs.Predict(weights=tiny_sgd(epochs=1)))))
    sweep = rs.Sweep(tree, rs.Search(metric="validation/nll", trials=1, seed=0, sampler="random"), name="jobs")
    assert list(sweep.parameters) == [""]
    row = {"trial": 0, "params": json.dumps({"": "sgd"})}
    assert values_in(row["params"], "", "") == {"job": "sgd"}
    assert params_text(row, "") == ["job = sgd"]
    assert param_key("") == "param/job"
    choice = rs.Sweep(rs.Each(tree.options), name="arms")
    assert [choice.fill(configuration).arm for configuration in choice.configurations] == [
        "sgd job=sgd",
        "predict job=predict",
    ]
