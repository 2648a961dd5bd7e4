"""The same numbers by every reader: pyarrow, DuckDB, pandas, polars."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pyarrow.dataset as ds
import pytest

from raysurf.errors import MissingPackageError, StoreError
from raysurf.results import SCHEMAS, Results, open
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.stores import epoch


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Three runs of four epochs; one has no test metrics."""
    store = Store(str(tmp_path))
    for name, loss in (("a", 0.5), ("b", 0.25), ("c", None)):
        write_rows(store, "epochs", name, [epoch(name, i, test_nll=loss and loss / i) for i in range(1, 5)])
    return open(str(tmp_path))


def test_readers_agree(results: Results) -> None:
    """Means by group are the same in pyarrow, DuckDB, pandas and polars, with and without raysurf."""
    pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    expected = {"a": 0.5 * (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, "b": 0.25 * (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, "c": None}
    root = f"{results.store.root}/tables/epochs"
    plain = ds.dataset(root, schema=SCHEMAS["epochs"], format="parquet").to_table()
    by_arrow = plain.group_by("run_id").aggregate([("test_nll", "mean")]).to_pylist()
    query = 'select run_id, avg(test_nll) as "test_nll_mean" from {} group by 1'
    by_duckdb = duckdb.sql(query.format(f"'{root}/*.parquet'")).to_arrow_table().to_pylist()
    by_sql = results.sql(query.format("epochs")).to_pylist()
    for rows in (by_arrow, by_duckdb, by_sql):
        assert {row["run_id"]: row["test_nll_mean"] for row in rows} == pytest.approx(expected)
    frame = results.to_pandas("epochs", where="test_nll is not null")
    assert frame.groupby("run_id")["test_nll"].mean().to_dict() == pytest.approx(
        {"a": expected["a"], "b": expected["b"]}
    )
    for epochs in (results.to_polars("epochs"), polars.read_parquet(f"{root}/*.parquet")):
        means = epochs.group_by("run_id").agg(polars.col("test_nll").mean()).rows()
        assert dict(means) == pytest.approx(expected)
    assert results.to_polars("epochs", ["epoch"], "run_id = 'a'")["epoch"].to_list() == [1, 2, 3, 4]


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_frame_that_is_not_installed(package: str, results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is absent is one line with what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"to_{package}\(\) needs {package}.*pip install '{package}'"):
        getattr(results, f"to_{package}")("epochs")


def test_a_wrong_column_is_answered_with_the_nearest(results: Results) -> None:
    """Columns that there are, and the nearest of them; SQL is answered with the columns of the tables that it names."""
    with pytest.raises(StoreError, match=r"no column 'test_nl' in epochs; .*did you mean 'test_nll'"):
        results.table("epochs", ["test_nl"])
    with pytest.raises(
        StoreError, match=r"test_nl(.|\n)*SQL over epochs \(run_id, epoch, .*\); runs; trials; predictions"
    ):
        results.sql("select test_nl from epochs")
