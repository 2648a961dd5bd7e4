"""Logs of trials and runs as text, for ``raysurf logs``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from raysurf.cli.output import text_table
from raysurf.redaction import redact
from raysurf.results.runs import RunLog, TrialLog
from raysurf.store import Row
from raysurf.store.parts import WHOLE, mapping_in
from raysurf.sweep.lineage import history, own_values

# Columns of an epoch's row that are printed.
COLUMNS = (
    *("epoch", "weights", "lr", "train_loss", "train_error", "validation_nll", "validation_error"),
    *("test_nll", "test_error", "kl", "epoch_s"),
)
NAME = 11


def trial_lines(log: TrialLog) -> Iterator[str]:
    """A log as text: a line per fact, then a line per epoch."""
    if log.trial is not None:
        yield from _trial_lines(log.trial)
    for number, run in enumerate(log.runs):
        if log.trial is not None or number:
            yield ""
        yield from _run_lines(run)


def as_json(log: TrialLog) -> str:
    """A log as one JSON object of its rows."""
    runs = [{"run_id": run.run_id, "run": run.row, "epochs": run.epochs} for run in log.runs]
    return json.dumps({"trial": log.trial, "runs": runs}, default=str, indent=1)


def _trial_lines(row: Row) -> Iterator[str]:
    yield _line("trial", f"{row['sweep']}/{row['trial']}  {row['state']}")
    yield _line("arm", row["arm"])
    yield from _params(row["params"])
    names, values = row["metric"].split(", "), row["values"] or ()
    for name, value in zip(names, values, strict=False):
        spread = f" +- {row['std']:.4g} over {len(row['seeds'])} seeds" if row["std"] is not None else ""
        yield _line("value", f"{name} {value:.4g}{spread} ({row['mode']})")
    yield from _span(row)
    if row["error"]:
        yield _line("error", row["error"].strip().splitlines()[-1])


def _run_lines(run: RunLog) -> Iterator[str]:
    row = run.row
    if row is None:
        yield _line("run", f"{run.run_id}  {'running' if run.epochs else 'not begun, or not measured yet'}")
    else:
        yield _line("run", f"{run.run_id}  {row['status']}")
        yield _line("of", f"{row['sweep']}{'' if row['trial'] is None else '/' + str(row['trial'])}, as {row['role']}")
        yield _line("job", f"{row['kind']} of {row['model']} on {row['data']}, seed {row['seed']}, {row['arm']}")
        yield from _params(row["params"])
        yield from _span(row)
        if row["device"]:
            workers = "a worker" if row["workers"] == 1 else f"{row['workers']} workers"
            yield _line("machine", f"{row['device']}, {workers}")
        if row["git_commit"]:
            yield _line("commit", row["git_commit"] + (" with uncommitted changes" if row["git_dirty"] else ""))
        yield _line("versions", ", ".join(f"{name} {version}" for name, version in _read(row["versions"]).items()))
        yield _line("command", redact(row["command"]))
    if run.epochs:
        names = [name for name in COLUMNS if any(epoch[name] is not None for epoch in run.epochs)]
        cells = [[epoch[name] for name in names] for epoch in run.epochs]
        yield ""
        yield from (f"  {line}" for line in text_table([_heading(name) for name in names], cells).splitlines())
    if row is not None and row["error"]:
        yield ""
        yield from (f"  {line}".rstrip() for line in redact(row["error"]).rstrip().splitlines())


def _heading(name: str) -> str:
    return name.replace("_", " ") if name != "epoch_s" else "s"


def _params(text: str) -> Iterator[str]:
    params = _read(text)
    if params:
        texts: Sequence[str] = [
            f"{k or WHOLE}={v:.6g}" if isinstance(v, float) else f"{k or WHOLE}={v}" for k, v in params.items()
        ]
        yield _line("params", ", ".join(texts))


def _read(text: str) -> dict[str, Any]:
    """A mapping in a row; anything else is shown as it is."""
    try:
        mapping = json.loads(text)
    except (ValueError, RecursionError):
        mapping = None
    return mapping if isinstance(mapping, dict) else {"unreadable": text}


def _span(row: Row) -> Iterator[str]:
    if row["started_at"] is not None:
        took = f", {row['wall_s']:.1f} s" if row["wall_s"] is not None else ""
        yield _line("began", f"{row['started_at']:%Y-%m-%d %H:%M:%S} UTC{took}")


def _line(name: str, text: str) -> str:
    return f"{name:<{NAME}}{text}".rstrip()


def params_text(row: dict[str, Any], uri: str) -> list[str]:
    """The values of a ``trials`` row, such as ``lr = 0.1`` or ``lr = 0.17 → 0.21``; see ``mapping_in`` for ``uri``."""
    params = mapping_in(row["params"], uri, f"trial {row['trial']}")
    return [f"{name or WHOLE} = {_along(history(params, name))}" for name in own_values(params)]


def _along(values: Sequence[Any]) -> str:
    """A value in every generation, or once if it has not changed; a dash where it was not chosen."""
    shown = [f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value) for value in values]
    return shown[0] if len(set(shown)) == 1 else " → ".join(shown)
