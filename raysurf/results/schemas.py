"""The written schemas of the result tables: names, types, units and meanings."""

from __future__ import annotations

import pyarrow as pa

VERSION = 1


def _field(name: str, kind: pa.DataType, meaning: str, unit: str = "", nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable, {"meaning": meaning, **({"unit": unit} if unit else {})})


def _schema(table: str, *fields: pa.Field) -> pa.Schema:
    return pa.schema(fields, {"raysurf.table": table, "raysurf.version": str(VERSION)})


S, F, I, L = pa.string(), pa.float64(), pa.int32(), pa.int64()
TIME = pa.timestamp("ms", tz="UTC")
RUN = _field("run_id", S, "the run: its job's kind and 16 hex digits of its content")
NATS, SHARE, SECONDS = "nats/sample", "fraction", "s"


def _measured(split: str) -> list[pa.Field]:
    return [
        _field(f"{split}_loss", F, f"nll on {split} with L2: half the weight decay times the sum of squares", NATS, True),
        _field(f"{split}_error", F, f"share of wrong answers on {split}", SHARE, True),
        _field(f"{split}_nll", F, f"mean negative log-likelihood on {split}", NATS, True),
    ]


SCHEMAS: dict[str, pa.Schema] = {
    "runs": _schema(
        "runs",
        RUN,
        _field("sweep", S, "the sweep that ran it first"),
        _field("trial", I, "number of the trial that ran it first", nullable=True),
        _field("role", S, "trial, input or baseline"),
        _field("kind", S, "kind of job"),
        _field("arm", S, "readable name of the setting"),
        _field("group", S, "the run's id with every seed left out: the same for all replicates"),
        _field("model", S, "network"),
        _field("data", S, "data set"),
        _field("seed", L, "seed"),
        _field("budget", F, "epochs spent, inputs counted once, over those of the first full schedule", "budgets", True),
        _field("epochs", F, "epochs that the run itself trained", "epochs"),
        _field("params", S, "the searched values, as JSON"),
        _field("spec", S, "the whole job, as JSON"),
        _field("inputs", pa.list_(S), "runs whose outcomes it used"),
        _field("status", S, "done, failed or stopped"),
        _field("error", S, "the traceback of a failed run", nullable=True),
        _field("metrics", S, "its figures, as JSON"),
        _field("started_at", TIME, "when its last sitting began", nullable=True),
        _field("wall_s", F, "length of its last sitting", SECONDS, True),
        _field("device_s", F, "the same, times its workers", SECONDS, True),
        _field("workers", I, "data-parallel workers", nullable=True),
        _field("device", S, "hardware of rank 0", nullable=True),
        _field("versions", S, "versions of Python and packages, as JSON"),
        _field("git_commit", S, "commit of the working folder", nullable=True),
        _field("git_dirty", pa.bool_(), "whether tracked files differed from it", nullable=True),
        _field("command", S, "the command that ran it"),
    ),
    "trials": _schema(
        "trials",
        _field("sweep", S, "the sweep"),
        _field("trial", I, "number within the sweep, from 0"),
        _field("definition", S, "hash of what the trials depend on"),
        _field("arm", S, "readable name of the setting"),
        _field("params", S, "the searched values, as JSON"),
        _field("run_ids", pa.list_(S), "its runs, one a seed"),
        _field("seeds", pa.list_(L), "the seeds, empty for one run with the job's own"),
        _field("metric", S, "the figure that is searched"),
        _field("mode", S, "max or min"),
        _field("value", F, "the figure, mean over seeds", nullable=True),
        _field("std", F, "its standard deviation over seeds (n - 1)", nullable=True),
        _field("state", S, "running, done, failed or stopped"),
        _field("error", S, "why it failed", nullable=True),
        _field("started_at", TIME, "when it began", nullable=True),
        _field("wall_s", F, "from its begin to its end", SECONDS, True),
    ),
    "epochs": _schema(
        "epochs",
        RUN,
        _field("epoch", I, "epochs finished", "epochs"),
        _field("weights", S, "what was measured: iterate, average, or t=0.5 of a curve"),
        _field("lr", F, "learning rate of the epoch's last step"),
        *_measured("train"),
        *_measured("validation"),
        *_measured("test"),
        _field("epoch_s", F, "time of the epoch's training", SECONDS),
    ),
    "predictions": _schema(
        "predictions",
        RUN,
        _field("weights", S, "whose predictions: final, average, last, or t=0.5 of a curve"),
        _field("scheme", S, "prediction scheme"),
        _field("num_samples", I, "samples that the scheme took"),
        _field("split", S, "train, validation or test"),
        _field("accuracy", F, "share of right answers", SHARE),
        _field("nll", F, "mean negative log-likelihood", NATS),
        _field("brier", F, "mean squared distance to the one-hot answer, summed over classes"),
        _field("ece", F, "expected calibration error, 15 bins", SHARE),
        _field("num_examples", L, "examples of the split"),
        _field("batchnorm", S, "how batch-norm statistics were got: fixed, reestimate, interpolate or none"),
    ),
    "surface": _schema(
        "surface",
        RUN,
        _field("geometry", S, "curve, line, path, plane or ray"),
        _field("point", I, "number of the point, from 0"),
        _field("t", F, "position on the curve, in [0, 1]", nullable=True),
        _field("x", F, "first plane coordinate", "weight distance", True),
        _field("y", F, "second plane coordinate", "weight distance", True),
        _field("split", S, "train, validation or test"),
        _field("loss", F, "nll with L2: half the weight decay times the sum of squares", NATS),
        _field("nll", F, "mean negative log-likelihood", NATS),
        _field("error", F, "share of wrong answers", SHARE),
        _field("l2", F, "the L2 term in loss", NATS),
        _field("distance", F, "arc length from the first point", "weight distance"),
        _field("batchnorm", S, "how batch-norm statistics were got: fixed, reestimate, interpolate or none"),
    ),
}
