"""The W&B workspace and report of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysurf.errors import TrackingError, UnknownNameError
from raysurf.results.reader import Reader
from raysurf.results.sql import quoted_list
from raysurf.store.parts import values_in
from raysurf.tracking.login import server_address, why_not_online
from raysurf.tracking.native_sweep import param_key
from raysurf.tracking.run_contents import LINES, home_of, keep_ids, known_ids, metric_name

SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Shown:
    """What there is of a sweep, whose name is the group of its runs.

    Args:
        params: Names of searched values.
        metric: The searched metric; empty if there is none, or several.
        mode: max or min.
        schemes: Weights and scheme of every prediction, such as ``("average", "ensemble")``.
        split: The split to compare them by, the first of ``SPLITS`` that was predicted; empty without any.
        lines: Geometries whose points lie on a line.
        surfaces: Kinds of job that measured points.
        trained: Weights that were measured by epoch.
    """

    sweep: str
    params: tuple[str, ...]
    metric: str
    mode: str
    schemes: tuple[tuple[str, str], ...]
    split: str
    lines: tuple[str, ...]
    surfaces: tuple[str, ...]
    trained: tuple[str, ...]


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
    listed = f"run_id in {quoted_list(sorted(mine))}"

    def distinct(columns: str, table: str) -> list[tuple[str, ...]]:
        query = f"select distinct {columns} from {table} where {listed} order by all"
        return [tuple(row.values()) for row in results.sql(query).to_pylist()]

    params: dict[str, Any] = {}
    for row in trials:
        params |= values_in(row["params"], results.store.uri, f"trial {row['trial']}")
    metric = trials[0]["metric"] if trials else ""
    splits = {split for (split,) in distinct("split", "predictions")}
    return Shown(
        sweep,
        tuple(params),
        "" if ", " in metric else metric,
        trials[0]["mode"] if trials else "max",
        tuple((weights, scheme) for weights, scheme in distinct("weights, scheme", "predictions")),
        next((split for split in SPLITS if split in splits), ""),
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
    """Make the workspace and the report of a sweep from its rows, or bring those that were made before up to date.

    ``entity`` is the W&B user or team; the user's default if not given.

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
    """Panels by section, those alone that have something to show."""
    import wandb_workspaces.reports.v2 as wr

    def bars(title: str, metrics: list[str], by: str, orientation: str) -> Any:
        """Bars of the mean over seeds, with their spread."""
        grouped = {"groupby": wr.Config(by), "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
        return wr.BarPlot(title=title, metrics=metrics, orientation=orientation, **grouped)

    panels: dict[str, list[Any]] = {}
    if split := what.split:
        names = {
            metric: [metric_name(weights, scheme, split, metric) for weights, scheme in what.schemes]
            for metric in METRICS
        }
        panels["Prediction schemes"] = [
            *(bars(f"{split} {METRICS[name]} by setting and scheme", of, "arm", "h") for name, of in names.items()),
            wr.WeavePanelSummaryTable(table_name="predictions"),
        ]
        panels["Budgets"] = [bars(f"{split} accuracy by budget", names["accuracy"], "budget", "v")]
        for name in names["accuracy"]:
            place = {"x": wr.Config("budget"), "y": wr.SummaryMetric(name)}
            panels["Budgets"].append(wr.ScatterPlot(title=f"{name} against budget", **place))
    if what.metric and what.params:
        objective, column = wr.SummaryMetric("objective"), wr.ParallelCoordinatesPlotColumn
        columns = [column(wr.Config(param_key(name)), display_name=name) for name in what.params]
        columns.append(column(objective, display_name=what.metric))
        best = {"running_ymax": True} if what.mode == "max" else {"running_ymin": True}
        panels["Search"] = [
            wr.ParallelCoordinatesPlot(title=f"{what.metric} by searched values", columns=columns),
            wr.ParameterImportancePlot(with_respect_to="objective"),
            wr.ScatterPlot(title=f"{what.metric}, best so far", x=wr.Config("trial"), y=objective, **best),
        ]
    if what.surfaces:
        keys = [f"picture/{PICTURES[kind]}" for kind in what.surfaces if kind in PICTURES]
        panels["Surfaces"] = [wr.MediaBrowser(title="Pictures", media_keys=keys, num_columns=2)] if keys else []
        for geometry in what.lines:
            for name in ("train_loss", "test_error"):
                panels["Surfaces"].append(wr.LinePlot(title=f"{geometry}: {name}", x="t", y=[f"{geometry}/{name}"]))
        panels["Surfaces"].append(wr.WeavePanelSummaryTable(table_name="surface"))
    if what.trained:
        prefixes = ["" if weights == "iterate" else f"{weights}/" for weights in what.trained]
        lines = {
            "validation error": [f"{prefix}validation/error" for prefix in prefixes],
            "test error": [f"{prefix}test/error" for prefix in prefixes],
            "train loss": ["train/loss"],
            "lr": ["lr"],
        }
        panels["Training"] = [wr.LinePlot(title=title, x="epoch", y=names) for title, names in lines.items()]
    return panels
