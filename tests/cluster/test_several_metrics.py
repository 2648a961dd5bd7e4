"""Searches for several metrics at once."""

from __future__ import annotations

from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cli.summary import summarise
from raysurf.errors import SpecError
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd
from tests.support.searches import sweep_of

TWO = ("validation/error", "validation/nll")


def test_two_metrics_end_to_end(tmp_path: Path) -> None:
    """Each trial keeps both metrics, as its run has them; the end shows the Pareto front; a second run does nothing."""
    job = tiny_sgd(epochs=1).with_holes(lr=rs.Float(0.01, 1.0, log=True))
    search = rs.Search(metric=TWO, sampler="nsga2", population=2, trials=4, seed=0, batch=2)
    sweep = rs.Sweep(job, search, name="two")
    heard: list[object] = []
    for _ in range(2):
        heard.clear()
        assert rs.run(sweep, str(tmp_path), executor="inline", listener=heard.append).failed == 0
    assert "RunStarted" not in {type(event).__name__ for event in heard}
    results = rs.results.open(str(tmp_path))
    rows = results.table("trials").sort_by("trial").to_pylist()
    assert [(row["metric"], row["mode"], row["value"]) for row in rows] == [(", ".join(TWO), "min, min", None)] * 4
    best = results.pareto("two").to_pylist()
    for row in best:
        assert [row[metric] for metric in TWO] == rows[row["trial"]]["values"]
    table = results.sql(
        f"""select max(abs(values[1] - json_extract(metrics, '$."{TWO[0]}"')::double)) as off
        from trials join runs on runs.run_id = run_ids[1]"""
    )
    assert table["off"].to_pylist() == [0.0]
    text = "\n".join(summarise([sweep], Store(str(tmp_path)), "two.yaml", ""))
    assert f"Pareto front of min {TWO[0]}, min {TWO[1]}: {len(best)} trial" in text


@pytest.mark.parametrize(
    ("search", "where", "said"),
    [
        ({"metric": [*TWO, "validation/error"]}, "search.metric.2", "each metric once"),
        ({"metric": ["validation/eror", TWO[1]]}, "search.metric.0", "did you mean 'validation/error'"),
        ({"metric": TWO, "mode": "min"}, "search.mode", "one for each of 2 metrics"),
        ({"metric": TWO, "mode": ["min"]}, "search.mode", "one for each of 2 metrics"),
        ({"metric": TWO, "stopping": rs.Stopping()}, "search.stopping", "one metric, or no stopping"),
    ],
)
def test_what_does_not_fit_several_metrics(search: dict[str, object], where: str, said: str) -> None:
    """Metrics are named once, have a mode each, and are not stopped early by."""
    with pytest.raises(SpecError, match=said) as caught:
        sweep_of(**search)
    assert [fault.where for fault in caught.value.faults] == [where]
