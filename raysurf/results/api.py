"""Reading the result tables: as Arrow, by SQL, as pandas or polars; weights and jobs. Needs neither torch nor Ray."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raysurf.errors import StoreError
from raysurf.packages import imported
from raysurf.results.reader import Reader
from raysurf.store.compacted import FOLDER as COMPACTED
from raysurf.store.store import Store
from raysurf.store.tables import require_known

if TYPE_CHECKING:
    from raysurf.results.failures import Failures
    from raysurf.results.runs import RunDifference
    from raysurf.results.weights import Framework, StoredWeights


def open(uri: str | os.PathLike[str] = "results", strict: bool = False) -> Results:
    """Open a result store for reading.

    Args:
        uri: A folder, or an address such as ``s3://bucket/results``.
        strict: Whether an unreadable file of a table is an error; else it is left out, with a ``StoreWarning`` that
            names it.

    Raises:
        StoreError: If there is no store at the address, or one of a newer version.
    """
    store = Store(uri)
    require_known(store)
    if not store.has_files("tables") and not store.has_files(COMPACTED):
        raise StoreError(store.uri, "no tables", "a store that a sweep has written (first: raysurf run quickstart)")
    if "IPython" in sys.modules:
        from raysurf.results.notebook import show_arrow_tables

        show_arrow_tables()
    return Results(store, strict)


class Results(Reader):
    """The tables of a store, and the most common queries.

    Args:
        store: The store.
        strict: Whether an unreadable file is an error; else it is left out, with a ``StoreWarning``.
    """

    def to_pandas(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> Any:
        """A table as a pandas DataFrame; see ``table``.

        Raises:
            MissingPackageError: If pandas is not installed.
        """
        imported("pandas", "to_pandas()", "pandas")
        return self.table(name, columns, where).to_pandas()

    def to_polars(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> Any:
        """A table as a polars DataFrame; see ``table``.

        Raises:
            MissingPackageError: If polars is not installed.
        """
        polars = imported("polars", "to_polars()", "polars")
        return polars.from_arrow(self.table(name, columns, where))

    def params(self, sweep: str) -> pa.Table:
        """The trials of a sweep with their searched values; of a running sweep those that have begun.

        Returns:
            A row per trial, by number: ``sweep``, ``trial``, ``arm``, ``state``, each searched metric by its name (mean
            over seeds), ``std`` over seeds where there are several, and every searched value by the name of its hole:
            numbers as int64 or float64, choices as strings. Parameters that a trial lacks are null. Trials of a
            population have their own values, without those of earlier generations. A value named like another column
            is called ``params.<name>``.

        Raises:
            UnknownNameError: If there is no such sweep.
        """
        from raysurf.results.trials import searched_values

        return searched_values(self, sweep)

    def weights(self, run: str, name: str = "weights", framework: Framework = "numpy") -> StoredWeights:
        """The stored weights of a run.

        Args:
            run: Its id, or a unique prefix of it.
            name: Their name: ``weights`` (of ``sgd``, ``swa``, ``swag``, ``variational``, ``weights``), ``last`` of
                ``swa``, ``member1`` … and ``average`` of ``fge``, ``bend1`` … of a curve, ``pivot1`` … of a path;
                ``variance``, ``deviation0`` … of ``swag``.
            framework: ``numpy``, which gives bfloat16 as float32, or ``torch``.

        Returns:
            The point and its buffers, tensors by name in the order of their names.

        Raises:
            UnknownNameError: If there is no such run, or it has no weights of that name; the known names are listed.
            StoreError: If it has none, the prefix is not unique, or the file is not one of raysurf's.
            MissingPackageError: If torch is asked for and not installed.
        """
        from raysurf.results.weights import stored_weights

        return stored_weights(self, run, name, framework)

    def spec(self, run: str) -> dict[str, Any]:
        """The job of a run as a tree, with its inputs: ``raysurf.run(results.spec(run), results="elsewhere")``.

        ``raysurf.parse_job`` turns it into a value.

        Args:
            run: Its id, or a unique prefix of it.

        Raises:
            UnknownNameError: If there is no such run.
            StoreError: If the prefix is not unique, or the stored job is not a mapping.
        """
        from raysurf.results.runs import stored_spec

        return stored_spec(self, run)

    def parts_of_sweeps(self, *sweeps: str) -> Callable[[str, str], bool]:
        """A predicate of a table and its part: whether that is a trial of some sweeps, or a run that they ran first.

        Raises:
            UnknownNameError: If there is no such sweep.
        """
        from raysurf.results.trials import parts_of_sweeps

        return parts_of_sweeps(self, sweeps)

    def running(self) -> dict[str, int]:
        """The number of unfinished trials by sweep: begun, and running or interrupted."""
        from raysurf.results.trials import running

        return running(self)

    def best(self, sweep: str) -> dict[str, Any]:
        """The row of a sweep's best finished trial; of a running sweep the best so far.

        Raises:
            UnknownNameError: If there is no such sweep.
            StoreError: If it has no finished trial with a value, or searches no metric, or several.
        """
        from raysurf.results.trials import best_trial

        return best_trial(self, sweep)

    def pareto(self, sweep: str) -> pa.Table:
        """The Pareto front of a sweep's finished trials over the searched metrics.

        Returns:
            A row per trial, best in the first metric first: ``sweep``, ``trial``, ``arm``, ``params``,
            ``run_ids``, and a column for every metric by its name.

        Raises:
            StoreError: If the sweep has no finished trial with metrics; the sweeps that have are listed.
        """
        from raysurf.results.trials import pareto

        return pareto(self, sweep)

    def failures(self, *sweeps: str) -> Failures:
        """The failures of some sweeps, or of all, by kind, exception and line.

        Raises:
            UnknownNameError: If there is no such sweep.
        """
        from raysurf.results.failures import failures

        return failures(self, sweeps)

    def difference(self, a: str, b: str) -> RunDifference:
        """The differences between two runs, and their metrics; ids may be unique prefixes.

        Raises:
            UnknownNameError: If there is no such run.
            StoreError: If a prefix is not unique.
        """
        from raysurf.results.runs import run_difference

        return run_difference(self, a, b)

    def compare(self, name: str, sweeps: Sequence[str] = ()) -> pa.Table:
        """Our metrics, mean and standard deviation over seeds, beside published ones; accuracies as fractions.

        Args:
            name: The comparison: ``parameterizations`` (of variational dropout), ``schemes`` (of prediction) or
                ``budgets`` (of SGD, FGE and SWA; SWA of pretrained weights).
            sweeps: Sweeps whose runs and inputs are compared; all if not given.

        Returns:
            One row per network, data set, method, setting and metric (column ``figure``); the schema describes each
            column. Unfinished runs are not counted.

        Raises:
            UnknownNameError: If there is no such comparison or sweep.
            StoreError: If there is nothing to compare.
        """
        from raysurf.results.comparison.compare import compare, joined

        return joined(compare(self, name, sweeps))

    def _repr_html_(self) -> str:
        from raysurf.results.notebook import store_html

        return store_html(self)
