"""The W&B workspace and report of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysurf.errors import TrackingError, UnknownNameError
from raysurf.results.reader import Reader
from raysurf.store.parts import LINEAGE, values_in
from raysurf.tracking.login import server_address, why_not_online
from raysurf.tracking.native_sweep import param_key
from raysurf.tracking.run_contents import LINES, home_of, keep_ids, known_ids, metric_name

# The split to compare by is the first that there is.
SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Shown:
    """What there is of a sweep.

    Args:
        sweep: Its name, which is the group of its runs.
        params: Names of searched values.
        metric: What is searched; empty if nothing is, or several metrics are.
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

    def metrics(self, metric: str, split: str) -> list[str]:
        """Names in the runs' summaries of a metric by every scheme."""
        return [metric_name(weights, scheme, split, metric) for weights, scheme in self.schemes]


def shown(results: Reader, sweep: str) -> Shown:
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


KNOWN = "raysurf-dashboards.json"
# Pictures of kinds of job that measure points.
PICTURES = {"plane": "plane", "profile": "profile", "rays": "width", "path": "path"}
METRICS = {"accuracy": "accuracy", "nll": "NLL, nats a sample", "ece": "calibration error (ECE)"}


@dataclass(frozen=True)
class Dashboard:
    """Where the workspace and the report are."""

    workspace: str
    report: str


def make_dashboard(results: Reader, sweep: str, project: str = "raysurf", entity: str | None = None) -> Dashboard:
    """Make the workspace and the report of a sweep, or bring those that were made before up to date.

    Args:
        results: The store; what it has of the sweep decides what is shown.
        sweep: Its name.
        project: The W&B project.
        entity: The W&B user or team; the user's default if not given.

    Raises:
        UnknownNameError: If there is no such sweep.
        TrackingError: If W&B refuses or is away.
    """
    what = shown(results, sweep)
    if why := why_not_online():
        raise TrackingError(why, "a W&B server that lets you in")
    import wandb

    try:
        return _save(what, home_of(results.store), project, entity or str(wandb.Api().default_entity))
    except Exception as error:
        # The client has many classes for what its server says, some of them private.
        if type(error).__module__.partition(".")[0] not in ("wandb", "requests"):
            raise
        raise TrackingError(f"{type(error).__name__}: {error}", "a project in which you may make views") from error


def _save(what: Shown, directory: Path, project: str, entity: str) -> Dashboard:
    import wandb_workspaces.reports.v2 as reports
    import wandb_workspaces.workspaces as workspaces

    known = known_ids(directory, KNOWN)
    before = known.get(key := f"{server_address()}/{entity}/{project}/{what.sweep}", {})
    panels_of = sections(what)
    one_sweep = f"Config('sweep') = '{what.sweep}'"
    workspace = workspaces.Workspace(
        entity=entity,
        project=project,
        name=f"raysurf {what.sweep}",
        sections=[workspaces.Section(name=name, panels=panels, is_open=True) for name, panels in panels_of.items()],
        runset_settings=workspaces.RunsetSettings(filters=one_sweep),
    )
    # Its id is private to the class, which otherwise makes a new view at every call.
    workspace._internal_id, workspace._internal_name = before.get("workspace", ""), before.get("view", "")
    workspace.save()
    blocks: list[Any] = [reports.TableOfContents()]
    for name, panels in panels_of.items():
        runs = reports.Runset(entity=entity, project=project, name=what.sweep, filters=one_sweep)
        blocks += [reports.H1(name), reports.PanelGrid(runsets=[runs], panels=panels)]
    report = reports.Report(
        entity=entity,
        project=project,
        title=f"raysurf {what.sweep}",
        description=f"Sweep {what.sweep}" + (f": {what.mode} {what.metric}" if what.metric else ""),
        blocks=blocks,
    )
    if "report" in before:
        report.id = before["report"]
    report.save()
    known[key] = {"workspace": workspace._internal_id, "view": workspace._internal_name, "report": report.id}
    keep_ids(directory, KNOWN, known)
    return Dashboard(str(workspace.url), str(report.url))


def sections(what: Shown) -> dict[str, list[Any]]:
    """Panels by section; a section that would be empty is left out."""
    import wandb_workspaces.reports.v2 as wr

    every = {
        "Prediction schemes": _schemes,
        "Budgets": _budgets,
        "Search": _search,
        "Surfaces": _surfaces,
        "Training": _training,
    }
    return {name: panels for name, of in every.items() if (panels := of(what, wr))}


def _bars(wr: Any, title: str, metrics: list[str], by: str, orientation: str) -> Any:
    """Bars of the mean over seeds, with their spread."""
    grouped = {"groupby": wr.Config(by), "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
    return wr.BarPlot(title=title, metrics=metrics, orientation=orientation, **grouped)


def _schemes(what: Shown, wr: Any) -> list[Any]:
    """Every scheme's metrics by configuration, and the table of all of them."""
    panels = [
        _bars(wr, f"{split} {said} by setting and scheme", what.metrics(metric, split), "arm", "h")
        for split in what.splits[:1]
        for metric, said in METRICS.items()
    ]
    return [*panels, wr.WeavePanelSummaryTable(table_name="predictions")] if panels else []


def _budgets(what: Shown, wr: Any) -> list[Any]:
    """The same metrics by what was spent."""
    panels = []
    for split in what.splits[:1]:
        names = what.metrics("accuracy", split)
        panels.append(_bars(wr, f"{split} accuracy by budget", names, "budget", "v"))
        for name in names:
            place = {"x": wr.Config("budget"), "y": wr.SummaryMetric(name)}
            panels.append(wr.ScatterPlot(title=f"{name} against budget", **place))
    return panels


def _search(what: Shown, wr: Any) -> list[Any]:
    """Parallel coordinates, the importance of parameters, and the best so far."""
    if not what.metric or not what.params:
        return []
    objective = wr.SummaryMetric("objective")
    column = wr.ParallelCoordinatesPlotColumn
    columns = [column(wr.Config(param_key(name)), display_name=name) for name in what.params]
    best = {"running_ymax": True} if what.mode == "max" else {"running_ymin": True}
    return [
        wr.ParallelCoordinatesPlot(
            title=f"{what.metric} by searched values", columns=[*columns, column(objective, display_name=what.metric)]
        ),
        wr.ParameterImportancePlot(with_respect_to="objective"),
        wr.ScatterPlot(title=f"{what.metric}, best so far", x=wr.Config("trial"), y=objective, **best),
    ]


def _surfaces(what: Shown, wr: Any) -> list[Any]:
    """Pictures of planes, profiles, paths and widths, metrics along lines, and the points themselves."""
    keys = [f"picture/{PICTURES[kind]}" for kind in what.surfaces if kind in PICTURES]
    panels = [wr.MediaBrowser(title="Pictures", media_keys=keys, num_columns=2)] if keys else []
    for geometry in what.lines:
        for name in ("train_loss", "test_error"):
            panels.append(wr.LinePlot(title=f"{geometry}: {name}", x="t", y=[f"{geometry}/{name}"]))
    return [*panels, wr.WeavePanelSummaryTable(table_name="surface")] if what.surfaces else []


def _training(what: Shown, wr: Any) -> list[Any]:
    """Curves over epochs."""
    if not what.trained:
        return []
    prefixes = ["" if weights == "iterate" else f"{weights}/" for weights in what.trained]
    lines = {
        "validation error": [f"{prefix}validation/error" for prefix in prefixes],
        "test error": [f"{prefix}test/error" for prefix in prefixes],
        "train loss": ["train/loss"],
        "lr": ["lr"],
    }
    return [wr.LinePlot(title=title, x="epoch", y=names) for title, names in lines.items()]
