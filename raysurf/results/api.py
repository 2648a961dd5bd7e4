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
        strict: Whether a file of a table that cannot be read is an error; else it is left out, with a ``StoreWarning``
            that names it.

    Raises:
        StoreError: If there is no store at the address, or one of a newer version.
    """
    store = Store(uri)
    require_known(store)
    if not store.has_files("tables") and not store.has_files(COMPACTED):
        raise StoreError(
            store.uri, "no tables", "a store that a sweep has written (first: raysurf run sweeps/quickstart.yaml)"
        )
    if "IPython" in sys.modules:
        from raysurf.results.notebook import show_arrow_tables

        show_arrow_tables()
    return Results(store, strict)


class Results(Reader):
    """The tables of one store, and the questions that are asked of them most.

    Args:
        store: The store.
        strict: Whether a file that cannot be read is an error; else it is left out, with a ``StoreWarning``.
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
        """The trials of a sweep with their searched values, of a sweep that still runs those that have begun.

        Returns:
            A row a trial, by number: ``sweep``, ``trial``, ``arm``, ``state``, every searched metric by its name (mean
            over seeds), ``std`` over seeds where there are several, and every searched value by its hole's: numbers as
            int64 or float64, choices as strings. A parameter that a trial does not have is null. Of a population's
            trials these are their own values, without those of the generations before. A value that has the name of
            another column is called ``params.<name>``.

        Raises:
            UnknownNameError: If there is no such sweep.
        """
        from raysurf.results.trials import searched_values

        return searched_values(self, sweep)

    def weights(self, run: str, name: str = "weights", framework: Framework = "numpy") -> StoredWeights:
        """The weights that a run left behind.

        Args:
            run: Its id, which may be cut short as long as it is unique.
            name: Which: ``weights`` (of ``sgd``, ``swa``, ``swag``, ``variational``, ``weights``), ``last`` of
                ``swa``, ``member1`` … and ``average`` of ``fge``, ``bend1`` … of a curve, ``pivot1`` … of a path;
                ``variance``, ``deviation0`` … of ``swag``.
            framework: ``numpy``, which gives bfloat16 as float32, or ``torch``.

        Returns:
            The point and its buffers, tensors by name in the order of their names.

        Raises:
            UnknownNameError: If there is no such run, or it has no weights of that name; those that it has are named.
            StoreError: If it left none, the id is not unique, or the file is none of raysurf's.
            MissingPackageError: If torch is asked for and not installed.
        """
        from raysurf.results.weights import stored_weights

        return stored_weights(self, run, name, framework)

    def spec(self, run: str) -> dict[str, Any]:
        """The job of a run as a tree, with its inputs: ``raysurf.run(results.spec(run), results="elsewhere")``.

        ``raysurf.parse_job`` makes a value of it.

        Args:
            run: Its id, which may be cut short as long as it is unique.

        Raises:
            UnknownNameError: If there is no such run.
            StoreError: If the id is not unique, or what is stored is no mapping.
        """
        from raysurf.results.runs import stored_spec

        return stored_spec(self, run)

    def parts_of_sweeps(self, *sweeps: str) -> Callable[[str, str], bool]:
        """Takes a table and a part of it, and says whether it is of some sweeps: a trial, or a run that they ran first.

        Raises:
            UnknownNameError: If there is no such sweep.
        """
        from raysurf.results.trials import parts_of_sweeps

        return parts_of_sweeps(self, sweeps)

    def running(self) -> dict[str, int]:
        """By sweep the number of trials that have begun and not ended: they run, or were broken off."""
        from raysurf.results.trials import running

        return running(self)

    def best(self, sweep: str) -> dict[str, Any]:
        """The row of a sweep's best finished trial; of a sweep that still runs the best so far.

        Raises:
            UnknownNameError: If there is no such sweep.
            StoreError: If it has no finished trial with a figure, or searches nothing, or several metrics.
        """
        from raysurf.results.trials import best_trial

        return best_trial(self, sweep)

    def pareto(self, sweep: str) -> pa.Table:
        """The finished trials of a sweep that no other one equals in every searched metric and betters in one.

        Returns:
            A row a trial, those best in the first metric first: ``sweep``, ``trial``, ``arm``, ``params``,
            ``run_ids``, and a column for every metric by its name.

        Raises:
            StoreError: If the sweep has no finished trial with figures; the sweeps that have are named.
        """
        from raysurf.results.trials import pareto

        return pareto(self, sweep)

    def failures(self, *sweeps: str) -> Failures:
        """What failed in some sweeps, or in all, by kind, exception and line.

        Raises:
            UnknownNameError: If there is no such sweep.
        """
        from raysurf.results.failures import failures

        return failures(self, sweeps)

    def difference(self, a: str, b: str) -> RunDifference:
        """What two runs differ in, and their figures; their ids may be cut short as long as they are unique.

        Raises:
            UnknownNameError: If there is no such run.
            StoreError: If an id is not unique.
        """
        from raysurf.results.runs import run_difference

        return run_difference(self, a, b)

    def compare(self, name: str, sweeps: Sequence[str] = ()) -> pa.Table:
        """Our figures, mean and spread over seeds, beside published ones; accuracies as fractions.

        Args:
            name: What is compared: ``parameterizations`` (of variational dropout), ``schemes`` (of prediction) or
                ``budgets`` (of SGD, FGE and SWA; SWA of pretrained weights).
            sweeps: Compare the runs of these sweeps and their inputs; of all if not given.

        Returns:
            A row a network, data set, method, setting and figure; each field says what it means. Runs that did not
            finish are not counted.

        Raises:
            UnknownNameError: If there is no such table or sweep.
            StoreError: If there is nothing to compare.
        """
        from raysurf.results.comparison.compare import compare, joined

        return joined(compare(self, name, sweeps))

    def _repr_html_(self) -> str:
        from raysurf.results.notebook import store_html

        return store_html(self)
