"""raysurf's exceptions and warnings; all of them pickle, since they cross processes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from raysurf.failure import Failure
from raysurf.redaction import redact


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to ``name``, ignoring case; None if none is close."""
    lowered = {other.lower(): other for other in known}
    matches = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    return lowered[matches[0]] if matches else None


@dataclass(frozen=True)
class Fault:
    """A fault in what a user wrote.

    Args:
        where: Path inside the document, such as ``job.start.epochs``.
        got: What stands there, in the user's own terms.
        expected: What may stand there.
        hint: What to do about it, where that is not plain.
        file: The file it stands in, if it came from one.
        line: Its line in that file, from 1.
    """

    where: str
    got: str
    expected: str
    hint: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else ""
        hint = f" ({self.hint})" if self.hint else ""
        got = f": got {self.got}" if self.got else ""
        return f"{place}{self.where}{got}; expected {self.expected}{hint}"


class RaysurfError(Exception):
    """Root of raysurf's exceptions; ``error_kind`` is the failure kind of a run that ends with one."""

    error_kind: ClassVar[str] = "mistake"


class Refusal(RaysurfError, ValueError):
    """Base of errors that state what was got and what was expected; ``subject`` begins the message."""

    subject: ClassVar[str] = ""

    def __init__(self, got: str, expected: str) -> None:
        self.got, self.expected = redact(got), expected
        super().__init__(self.got, expected)

    def __str__(self) -> str:
        return f"{self.subject.format(*self.args)}: got {self.got}; expected {self.expected}"


class NamedRefusal(Refusal):
    """A refusal with a named subject; the name is the first argument, kept in the attribute that ``named`` gives."""

    named: ClassVar[str] = ""

    def __init__(self, name: str, got: str, expected: str) -> None:
        super().__init__(got, expected)
        setattr(self, self.named, redact(name))
        self.args = (redact(name), self.got, expected)


class SpecError(RaysurfError, ValueError):
    """An invalid job, sweep or file, with all its faults.

    To do: fix what each fault names; nothing was started.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


class UnknownNameError(RaysurfError, ValueError):
    """A name that is not registered.

    To do: use a known name (the closest is suggested), or install the package that provides it.
    """

    def __init__(self, what: str, got: str, known: Iterable[str]) -> None:
        self.what, self.got, self.known = what, got, tuple(known)
        super().__init__(what, got, self.known)

    @property
    def hint(self) -> str:
        """The nearest known name, as a question; empty if none is near."""
        near = nearest(self.got, self.known)
        return f"did you mean {near!r}?" if near else ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"unknown {self.what}: got {self.got!r}; expected one of {', '.join(self.known)}{hint}"


class MissingPackageError(RaysurfError, ImportError):
    """A missing optional dependency.

    To do: run the ``pip install`` that it names.
    """

    def __init__(self, package: str, needed_for: str, install: str) -> None:
        self.package, self.needed_for, self.install = package, needed_for, install
        super().__init__(package, needed_for, install)

    def __str__(self) -> str:
        where = " in a clone of raysurf" if self.install.startswith(".") else ""
        return f"{self.needed_for} needs {self.package}, which is not installed (pip install '{self.install}'{where})"


class PointMismatchError(Refusal):
    """Two points whose tensors differ in names or shapes.

    To do: use weights of one network.
    """

    subject = "points do not match"


class OutputError(Refusal):
    """A network whose output is not one logit per class, or whose weights cannot be stored.

    To do: return logits [batch, classes]: alone, as ``logits``, or first in a tuple.
    """

    subject = "network"


class AverageError(Refusal):
    """An average without members, or without batches to estimate batch-norm statistics on.

    To do: call ``update`` first, and give ``batches``, or ``"fixed"`` to keep the statistics.
    """

    subject = "average"


class DataError(NamedRefusal):
    """Data that is missing, unreadable, or not as specified.

    To do: check the path or file that it names, and ``data:`` of the job.
    """

    subject, named = "data {0!r}", "data"
    data: str


class StoreError(NamedRefusal):
    """A result store that cannot be read or written.

    To do: check the address after ``--results``; ``raysurf fsck`` lists what is wrong with a damaged store.
    """

    subject, named = "results {0!r}", "uri"
    uri: str


class NothingComparedError(StoreError):
    """A comparison without any finished run.

    To do: name the sweep that has such runs (``--sweep``), or run one; the message says which jobs it compares.
    """


class LeftOutWarning(RaysurfError, UserWarning):
    """Something unusable that was left out."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


class StoreWarning(LeftOutWarning):
    """An unreadable part of a store that was left out; with ``--strict`` an error.

    To do: ``raysurf fsck`` says what it belongs to; running its sweep again rewrites it.
    """


class PlugWarning(LeftOutWarning):
    """An unusable plug of another package that was left out.

    To do: fix or uninstall the package.
    """


class StoreUnavailableError(StoreError):
    """A store that is full, or unreachable for longer than the retries last.

    To do: free space, or bring it back, and run the same command again; it resumes.
    """


class ResourceError(Refusal):
    """A request for more CPUs, GPUs or workers than the machine or cluster has.

    To do: request less in ``resources:``, or run on a larger cluster (``--address``).
    """

    subject = "resources"


class ClusterError(NamedRefusal):
    """A cluster that is unreachable, denies access, or does not know the job.

    To do: check ``--address``, the tunnel to its dashboard, and the token (``RAY_AUTH_TOKEN``).
    """

    subject, named = "cluster {0}", "address"
    address: str


class SubmissionError(Refusal):
    """A submission that cannot be sent to a cluster.

    To do: remove what it names from the working folder or the address; use ``--results`` that the cluster can reach.
    """

    subject = "submission"


class TrackingError(Refusal):
    """W&B without a login, unreachable, or without what it was sent.

    To do: ``wandb login``, then ``raysurf sync``; no row is lost.
    """

    subject = "W&B"


class ChangedError(RaysurfError, ValueError):
    """A stored run whose network or data have changed since it ran.

    ``changed`` lists what differs: its name, its fingerprint then, and its fingerprint now.

    To do: undo the change, give what has changed another name, or use the stored run with ``--accept-changed``.
    """

    def __init__(self, run: str, changed: Iterable[tuple[str, str, str]]) -> None:
        self.run, self.changed = run, tuple(changed)
        super().__init__(run, self.changed)

    def __str__(self) -> str:
        differences = "; ".join(
            f"{what}: got {now}, expected {then} as when it ran" for what, then, now in self.changed
        )
        return (
            f"{self.run} ran with another network or other data than there are now. {differences}. Undo the change, or "
            "give what has changed another name (function, file or folder), which is then run anew, or use the stored "
            "run: --accept-changed (in Python accept_changed=True)"
        )


class JobFailedError(RaysurfError, RuntimeError):
    """The failure of a job run from a program, or of one of its inputs.

    To do: ``raysurf why`` shows the traceback; then fix it and run it with ``retry_failed=True``.
    """

    def __init__(self, run_id: str, error: str, results: str) -> None:
        self.run_id, self.error, self.results = run_id, redact(error), redact(results)
        super().__init__(run_id, self.error, self.results)

    def __str__(self) -> str:
        return f"{self.run_id} failed: {self.error} (its traceback: raysurf why --results {self.results})"


class DivergedError(RaysurfError, ArithmeticError):
    """A training loss that became NaN or infinite at ``step``, from 1; ``last_loss`` is the last finite one, or NaN.

    To do: lower the learning rate, or warm it up (``kind: warm_up``).
    """

    error_kind = "diverged"

    def __init__(self, epoch: float, last_loss: float, step: int) -> None:
        self.epoch, self.last_loss, self.step = epoch, last_loss, step
        super().__init__(epoch, last_loss, step)

    def __str__(self) -> str:
        before = "it never was" if math.isnan(self.last_loss) else f"its last finite value was {self.last_loss:.4g}"
        return f"the loss is not finite at epoch {self.epoch:.0f}, step {self.step}; {before} (lower the learning rate)"


class NotFiniteError(RaysurfError, ArithmeticError):
    """Metrics of a job that are NaN or infinite.

    To do: lower the learning rate, or check the weights that were measured.
    """

    error_kind = "diverged"

    def __init__(self, metrics: Iterable[str]) -> None:
        self.metrics = tuple(metrics)
        super().__init__(self.metrics)

    def __str__(self) -> str:
        return f"not finite: {', '.join(self.metrics)}"


class TimeLimitError(RaysurfError, RuntimeError):
    """A trial that exceeded its time limit.

    To do: raise ``failures: {time_limit_s: …}``, then ``raysurf run --retry-failed``; it resumes from its checkpoint.
    """

    error_kind = "time_limit"

    def __init__(self, limit_s: float, where: str) -> None:
        self.limit_s, self.where = limit_s, where
        super().__init__(limit_s, where)

    def __str__(self) -> str:
        return f"the trial took longer than time_limit_s: {self.limit_s:g}; it was ended {self.where}"


class PreemptedError(RaysurfError, RuntimeError):
    """A job that left its process before a preemption; it resumes from its state elsewhere.

    To do: nothing on a cluster; in a program of your own, run it again.
    """

    error_kind = "lost"

    def __init__(self, where: str) -> None:
        self.where = where
        super().__init__(where)

    def __str__(self) -> str:
        return f"told to leave, {self.where}; the state is kept, and running it again goes on from there"


class DegenerateError(NamedRefusal):
    """Weights that span no line, plane or path: they are equal, or lie on one line.

    To do: give one of them another seed.
    """

    subject, named = "no {0}", "geometry"
    geometry: str


class MeasuringError(RaysurfError, RuntimeError):
    """Points of a measuring job that could not be measured; the others are kept.

    To do: fix the first failure, then ``raysurf run --retry-failed``, which measures these points alone.
    """

    def __init__(self, failed: int, total: int, point: int, first: Failure) -> None:
        self.failed, self.total, self.point, self.first = failed, total, point, first
        super().__init__(failed, total, point, first)

    @property
    def failure(self) -> Failure:
        """The first point's failure, which is the run's."""
        return replace(self.first, message=f"{self.first.message} (at point {self.point})")

    def __str__(self) -> str:
        said = f"{self.failed} of {self.total} points could not be measured"
        return f"{said}; the first: point {self.point}: {self.first}"


class UnsupportedLayerError(RaysurfError, ValueError):
    """A layer that cannot be made stochastic.

    To do: in ``noise: {layers: …}`` name layers of the kinds that it lists.
    """

    def __init__(self, got: str) -> None:
        self.got = got
        super().__init__(got)

    def __str__(self) -> str:
        return f"layer: got {self.got}; expected Linear, Conv1d or Conv2d with zero padding"
