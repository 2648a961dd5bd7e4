"""What a sweep has that a dashboard can show, asked of its rows."""

from __future__ import annotations

from dataclasses import dataclass

from raysurf.errors import UnknownNameError
from raysurf.results.parts import LINEAGE, values_in
from raysurf.results.query import Results
from raysurf.tracking.final_figures import figure_name
from raysurf.tracking.histories import LINES

# How often a figure's panel is drawn: test is what is compared, validation what is searched.
SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Shown:
    """What there is of a sweep.

    Args:
        sweep: Its name, which is the group of its runs.
        params: Names of searched values.
        metric: What is searched; empty if nothing is, or several figures are.
        mode: max or min.
        schemes: Weights and scheme of every prediction, such as ``("average", "ensemble")``.
        splits: Splits that they were measured on, the one to compare by first.
        lines: Geometries whose points lie on a line.
        surfaces: Kinds of job that measured points.
        trained: Weights that were measured by epoch.
    """

    sweep: str
    params: tuple[str, ...]
    metric: str
    mode: str
    schemes: tuple[tuple[str, str], ...]
    splits: tuple[str, ...]
    lines: tuple[str, ...]
    surfaces: tuple[str, ...]
    trained: tuple[str, ...]

    def figures(self, figure: str, split: str) -> list[str]:
        """Names in the runs' summaries of a figure by every scheme."""
        return [figure_name(weights, scheme, split, figure) for weights, scheme in self.schemes]


def shown(results: Results, sweep: str) -> Shown:
    """What there is to show of a sweep's trials, inputs and baselines.

    Raises:
        UnknownNameError: If there is no such sweep.
    """
    trials = [row for row in results.table("trials").to_pylist() if row["sweep"] == sweep]
    runs = results.table("runs", ["run_id", "sweep"]).to_pylist()
    known = sorted({row["sweep"] for row in runs} | {sweep for _ in trials})
    if sweep not in known:
        raise UnknownNameError("sweep", sweep, known or ["(none yet)"])
    mine = {row["run_id"] for row in runs if row["sweep"] == sweep} | {i for row in trials for i in row["run_ids"]}
    listed = f"run_id in ({', '.join(repr(run_id) for run_id in sorted(mine))})"

    def distinct(columns: str, table: str) -> list[tuple[str, ...]]:
        query = f"select distinct {columns} from {table} where {listed} order by all"
        return [tuple(row.values()) for row in results.sql(query).to_pylist()]

    params: dict[str, None] = {}
    for row in trials:
        params |= dict.fromkeys(values_in(row["params"], results.store.uri, f"trial {row['trial']}"))
    metric = trials[0]["metric"] if trials else ""
    splits = {split for (split,) in distinct("split", "predictions")}
    return Shown(
        sweep,
        tuple(name for name in params if name != LINEAGE),
        "" if ", " in metric else metric,
        trials[0]["mode"] if trials else "max",
        tuple((weights, scheme) for weights, scheme in distinct("weights, scheme", "predictions")),
        tuple(split for split in SPLITS if split in splits),
        tuple(name for (name,) in distinct("geometry", "surface") if name in LINES),
        tuple(dict.fromkeys(run_id.partition("-")[0] for (run_id,) in distinct("run_id", "surface"))),
        tuple(weights for (weights,) in distinct("weights", "epochs")),
    )
