"""The written schemas of the result tables: names, types, units and meanings."""

from __future__ import annotations

import pyarrow as pa

from raysurf.errors import UnknownNameError
from raysurf.failure import KINDS

# Raised with each change that is more than a new nullable column; store.parts has the migrations.
VERSION = 3


def _field(name: str, kind: pa.DataType, meaning: str, unit: str = "", nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable, {"meaning": meaning, **({"unit": unit} if unit else {})})


def _schema(table: str, *fields: pa.Field) -> pa.Schema:
    return pa.schema(fields, {"raysurf.table": table, "raysurf.version": str(VERSION)})


TEXT, REAL, INT, LONG = pa.string(), pa.float64(), pa.int32(), pa.int64()
TIME = pa.timestamp("ms", tz="UTC")
RUN = _field("run_id", TEXT, "the run: its job's kind and 16 hex digits of its content")
BATCHNORM = (
    "how batch-norm statistics were got: fixed, reestimate or interpolate; without it, whose other buffers "
    "are used (fixed: its own; last, average, nearest), or renewed for power iterations; none without buffers"
)
NATS, SHARE, SECONDS, DISTANCE = "nats/sample", "fraction", "s", "weight distance"


def _measured(split: str) -> list[pa.Field]:
    return [
        _field(
            f"{split}_loss", REAL, f"nll on {split} with L2: half the weight decay times the sum of squares", NATS, True
        ),
        _field(f"{split}_error", REAL, f"share of wrong answers on {split}", SHARE, True),
        _field(f"{split}_nll", REAL, f"mean negative log-likelihood on {split}", NATS, True),
    ]


FAILURE = (
    _field("error_kind", TEXT, f"kind of failure: {', '.join(KINDS)}", nullable=True),
    _field("error_class", TEXT, "class of the exception; empty if there was none", nullable=True),
    _field("error_message", TEXT, "message of the exception", nullable=True),
    _field(
        "error_place", TEXT, "file:line of its innermost frame in raysurf's or the user's code, or empty", nullable=True
    ),
)

SCHEMAS: dict[str, pa.Schema] = {
    "runs": _schema(
        "runs",
        RUN,
        _field("sweep", TEXT, "the sweep that ran it first"),
        _field("trial", INT, "number of the trial that ran it first", nullable=True),
        _field("role", TEXT, "trial, input or baseline"),
        _field("kind", TEXT, "kind of job"),
        _field("arm", TEXT, "readable name of the setting"),
        _field("group", TEXT, "the run's id with every seed left out: the same for all replicates"),
        _field("model", TEXT, "network"),
        _field("data", TEXT, "data set: its label, else its name, with that of its folder"),
        _field("seed", LONG, "seed"),
        _field(
            "budget", REAL, "epochs spent, inputs counted once, over those of the first full schedule", "budgets", True
        ),
        _field("epochs", REAL, "epochs that the run itself trained", "epochs"),
        _field("params", TEXT, "the searched values, as JSON; in lineage those of generations before"),
        _field("spec", TEXT, "the whole job, as JSON"),
        _field("inputs", pa.list_(TEXT), "runs whose outcomes it used"),
        _field("status", TEXT, "done, failed or stopped"),
        _field("error", TEXT, "the traceback of a failed run", nullable=True),
        _field("metrics", TEXT, "its metrics, as JSON"),
        _field("started_at", TIME, "when its last sitting began", nullable=True),
        _field("wall_s", REAL, "length of its last sitting", SECONDS, True),
        _field(
            "device_s",
            REAL,
            "the same, with the points of a surface that were measured elsewhere, times its workers",
            SECONDS,
            True,
        ),
        _field("workers", INT, "data-parallel workers", nullable=True),
        _field("device", TEXT, "hardware of rank 0", nullable=True),
        _field("versions", TEXT, "versions of Python and packages, as JSON"),
        _field("git_commit", TEXT, "commit of the working folder", nullable=True),
        _field("git_dirty", pa.bool_(), "whether tracked files differed from it", nullable=True),
        _field("command", TEXT, "the command that ran it"),
        _field(
            "data_fingerprint",
            TEXT,
            "hash of its splits' examples, or of streamed images' names and sizes; its inputs' if it loaded none",
            nullable=True,
        ),
        _field(
            "data_stamp",
            TEXT,
            "hash of names, sizes and times of the files of its data, or of streamed images' folders",
            nullable=True,
        ),
        _field("model_source", TEXT, "hash of the source of its network, if that is the user's own", nullable=True),
        _field("model_shapes", TEXT, "hash of names and shapes of its network's parameters", nullable=True),
        _field("weights_file", TEXT, "hash of the file that its weights were taken from", nullable=True),
        _field(
            "skipped", pa.list_(TEXT), "files of its data that could not be read, without which it went on", "", True
        ),
        *FAILURE,
    ),
    "trials": _schema(
        "trials",
        _field("sweep", TEXT, "the sweep"),
        _field("trial", INT, "number within the sweep, from 0"),
        _field("definition", TEXT, "hash of what the trials depend on"),
        _field("arm", TEXT, "readable name of the setting"),
        _field("params", TEXT, "the searched values, as JSON; in lineage those of generations before"),
        _field("run_ids", pa.list_(TEXT), "its runs, one a seed"),
        _field("seeds", pa.list_(LONG), "the seeds, empty for one run with the job's own"),
        _field("metric", TEXT, "the metric that is searched; several with commas between them"),
        _field("mode", TEXT, "max or min, one a metric"),
        _field("value", REAL, "the metric, mean over seeds; none if several are searched", nullable=True),
        _field("values", pa.list_(REAL), "every metric that is searched, mean over seeds", nullable=True),
        _field("std", REAL, "its standard deviation over seeds (n - 1)", nullable=True),
        _field("state", TEXT, "running, done, failed or stopped"),
        _field("error", TEXT, "why it failed", nullable=True),
        _field("started_at", TIME, "when it began", nullable=True),
        _field("wall_s", REAL, "from its begin to its end", SECONDS, True),
        _field(
            "retried",
            pa.bool_(),
            "true if it had failed and was tried again when its search had gone on, which knows of the failure alone",
            nullable=True,
        ),
        *FAILURE,
    ),
    "epochs": _schema(
        "epochs",
        RUN,
        _field("epoch", INT, "epochs finished", "epochs"),
        _field("weights", TEXT, "what was measured: iterate, average, or t=0.5 of a curve"),
        _field("lr", REAL, "learning rate of the epoch's last step"),
        *_measured("train"),
        *_measured("validation"),
        *_measured("test"),
        _field("epoch_s", REAL, "time of the epoch's training", SECONDS),
        _field("kl", REAL, "divergence of the noisy weights from their prior, after the epoch", "nats", True),
        _field(
            "scheme", TEXT, "prediction scheme of validation and test; deterministic if none is said", nullable=True
        ),
        _field("skipped", LONG, "training examples that could not be read in the epoch", nullable=True),
    ),
    "predictions": _schema(
        "predictions",
        RUN,
        _field("weights", TEXT, "whose predictions: final, average, last, or t=0.5 of a curve"),
        _field(
            "scheme",
            TEXT,
            "prediction scheme: deterministic, stochastic, ensemble, or the controls zero_mean, permuted",
        ),
        _field("num_samples", INT, "samples that the scheme took"),
        _field("split", TEXT, "train, validation or test"),
        _field("accuracy", REAL, "share of right answers", SHARE),
        _field("nll", REAL, "mean negative log-likelihood", NATS),
        _field("brier", REAL, "mean squared distance to the one-hot answer, summed over classes"),
        _field("ece", REAL, "expected calibration error, 15 bins", SHARE),
        _field("num_examples", LONG, "examples of the split that could be read"),
        _field("batchnorm", TEXT, BATCHNORM),
    ),
    "surface": _schema(
        "surface",
        RUN,
        _field("geometry", TEXT, "curve, line, chain, path, plane or ray"),
        _field("point", INT, "number of the point within the run, from 0"),
        _field(
            "t", REAL, "position: 0 to 1 from end to end (beyond them with a margin), or along a ray", nullable=True
        ),
        _field("x", REAL, "first plane coordinate, from the first weights towards the second", DISTANCE, True),
        _field("y", REAL, "second plane coordinate, at right angles to the first", DISTANCE, True),
        _field("origin", TEXT, "the weights that a ray starts from", nullable=True),
        _field("ray", INT, "number of the ray, from 0; none at the origin itself", nullable=True),
        _field("split", TEXT, "train, validation or test"),
        _field("loss", REAL, "nll with L2: half the weight decay times the sum of squares", NATS, True),
        _field("nll", REAL, "mean negative log-likelihood", NATS, True),
        _field("error", REAL, "share of wrong answers", SHARE, True),
        _field("l2", REAL, "the L2 term in loss", NATS),
        _field(
            "distance",
            REAL,
            "arc length from the first point; on rays and planes the distance from the origin",
            DISTANCE,
        ),
        _field("batchnorm", TEXT, BATCHNORM),
        _field("batchnorm_share", REAL, "share of the training examples that re-estimation saw", SHARE, True),
        _field("failure", TEXT, "why a point has no metrics", nullable=True),
        _field("point_s", REAL, "time that the point took, all its splits together", SECONDS, True),
        _field("skipped", LONG, "examples of the split that could not be read", nullable=True),
    ),
    "landmarks": _schema(
        "landmarks",
        RUN,
        _field("landmark", INT, "number of the landmark within the plane, from 0; the first three span it"),
        _field("name", TEXT, "what it is called in pictures"),
        _field("source", TEXT, "the run that it comes from"),
        _field("geometry", TEXT, "weights, curve or path"),
        _field("position", INT, "number along a curve or path, from 0; weights have one"),
        _field("t", REAL, "position on a curve or path, in [0, 1]", nullable=True),
        _field("x", REAL, "first plane coordinate of its projection", DISTANCE),
        _field("y", REAL, "second plane coordinate of its projection", DISTANCE),
        _field("off_plane", REAL, "its distance from the plane", DISTANCE),
    ),
    "layers": _schema(
        "layers",
        RUN,
        _field("layer", TEXT, "the layer's name in its network"),
        _field("position", INT, "number of the layer among the noisy ones, from 0"),
        _field("num_weights", LONG, "weights of the layer, without its bias"),
        _field("sigma", REAL, "root of the weights' mean variance"),
        _field("log_alpha", REAL, "mean over weights of log(sigma^2 / mu^2)", nullable=True),
        _field("log_alpha_min", REAL, "the least of them", nullable=True),
        _field("log_alpha_max", REAL, "the largest of them", nullable=True),
        _field("snr", REAL, "signal-to-noise ratio: mean over weights of mu^2 / sigma^2"),
        _field("kl", REAL, "divergence of the layer's weights from their prior", "nats"),
        _field("kl_share", REAL, "its share of the divergence of all layers", SHARE, True),
        _field("mmd", REAL, "squared discrepancy of N(mu, sigma^2) and N(0, sigma^2), unbiased estimate"),
        _field("mmd_closed", REAL, "the same in closed form"),
        _field("num_draws", INT, "draws of each distribution that the estimate took"),
    ),
    "activations": _schema(
        "activations",
        RUN,
        _field("layer", TEXT, "the layer's name in its network"),
        _field("neuron", INT, "output of the layer, from 0; of a convolution the mean over its map"),
        _field("label", INT, "class of the examples, from 0"),
        _field("low", REAL, "lower end of the bin of activations"),
        _field("high", REAL, "upper end of the bin"),
        _field("share", REAL, "share of the class's draws that fall in the bin", SHARE),
        _field("mean", REAL, "mean activation of the class"),
        _field("std", REAL, "standard deviation of the class's activations, over examples and draws"),
        _field("num_draws", LONG, "examples of the class times draws of each"),
    ),
    "inputs": _schema(
        "inputs",
        RUN,
        _field("origin", TEXT, "train or test for an example, grid for a node of a grid over the input plane"),
        _field("point", INT, "number within its origin, from 0"),
        _field("x", REAL, "first coordinate of the input"),
        _field("y", REAL, "second coordinate of the input"),
        _field("label", INT, "class of an example, from 0", nullable=True),
        _field("answer", INT, "class that the ensemble gives"),
        _field("confidence", REAL, "the ensemble's probability of that class", SHARE),
        _field("deterministic_answer", INT, "class that the mean weights give"),
        _field("layer", TEXT, "the noisy layer whose outputs the next two columns describe"),
        _field("output_mean", pa.list_(REAL), "mean of each of the layer's outputs over its noise"),
        _field("output_std", pa.list_(REAL), "standard deviation of each of them"),
    ),
}


def schema_of(table: str) -> pa.Schema:
    """The written schema of a table."""
    if table not in SCHEMAS:
        raise UnknownNameError("table", table, SCHEMAS)
    return SCHEMAS[table]
