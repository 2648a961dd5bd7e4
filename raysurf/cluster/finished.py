"""What running a plan comes to, and how it shows itself."""

from __future__ import annotations

import html
from dataclasses import dataclass

from raysurf.errors import RaysurfError
from raysurf.results.query import Results, open


@dataclass(frozen=True)
class Finished:
    """What a run of a plan came to; a notebook shows the best trials of every sweep.

    Args:
        trials: Trials that there were.
        failed: How many of them, and of the inputs, failed.
        stopped: Sweeps of which so much failed that the rest did not begin.
        results: Address of the result store.
        sweeps: Names of the sweeps.
        inputs: Inputs and baselines that there were.
    """

    trials: int
    failed: int
    stopped: tuple[str, ...] = ()
    results: str = "results"
    sweeps: tuple[str, ...] = ()
    inputs: int = 0

    @property
    def done(self) -> int:
        """Trials, inputs and baselines that did not fail."""
        return self.trials + self.inputs - self.failed

    @property
    def tables(self) -> Results:
        """The result store, for reading.

        Raises:
            StoreError: If it is not there.
        """
        return open(self.results)

    def _repr_html_(self) -> str:
        from raysurf.results.notebook import sweep_html

        failed = f", {self.failed} failed" if self.failed else ""
        stopped = f"; stopped since so much failed: {', '.join(self.stopped)}" if self.stopped else ""
        told = f"<p>{self.done} done{failed}{html.escape(stopped)}; {html.escape(self.results)}</p>"
        try:
            return told + "".join(sweep_html(self.tables, sweep) for sweep in self.sweeps)
        except RaysurfError as error:
            return f"{told}<p>{html.escape(str(error))}</p>"
