"""Fingerprints of what a run was made of, its network and data, kept beside it and compared before it is used again.

``model_source`` is of the source text of a network of the user's own, ``model_shapes`` of its parameters' names and
shapes, ``weights_file`` of a file with weights, ``data_fingerprint`` of the examples, and ``data_stamp``
of what of the data can be seen without reading them: where that is the same, so are they. A store of an older raysurf
has none, and is taken as it is.

Importing it imports no torch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raysurf import own_code
from raysurf.data import registry as data_sets
from raysurf.data.spec import DataSpec
from raysurf.errors import ChangedError, RaysurfError, StoreError, StoreUnavailableError
from raysurf.jobs.job import Job
from raysurf.jobs.outcome import outcome_path
from raysurf.store.store import Store

if TYPE_CHECKING:
    from torch import nn

Fingerprints = dict[str, str]
Accepted = dict[str, list[str]]
Differences = dict[str, tuple[str, str]]
WORDS = {
    "model_source": "the source of its network",
    "model_shapes": "names and shapes of its network's parameters",
    "data_fingerprint": "its data",
    "weights_file": "the file of its weights",
}


def shapes_of(network: nn.Module) -> str:
    """A hash of the names and shapes of a network's parameters, 16 hex digits."""
    text = "\n".join(f"{name} {tuple(value.shape)}" for name, value in network.named_parameters())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_of_file(path: str | None) -> str | None:
    """A hash of a regular file's bytes, 16 hex digits; None if there is none here."""
    if path is None or not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return None


def kept(store: Store, run_id: str) -> tuple[Fingerprints, Accepted]:
    """The fingerprints in a finished run's outcome, and others that were accepted for it since."""
    try:
        return read(store.get_json(outcome_path(run_id)))
    except StoreUnavailableError:
        raise
    except (StoreError, ValueError):
        return {}, {}


def read(outcome: Any) -> tuple[Fingerprints, Accepted]:
    """The same of an outcome; what raysurf has not written counts as nothing."""
    fingerprints, accepted = (_mapping(_mapping(outcome).get(key)) for key in ("fingerprints", "accepted"))
    texts = {name: value for name, value in fingerprints.items() if isinstance(value, str)}
    return texts, {name: values for name, values in accepted.items() if isinstance(values, list)}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def differences(
    then: Mapping[str, str], now: Mapping[str, str], accepted: Mapping[str, list[str]] | None = None
) -> Differences:
    """Fingerprints known on both sides that differ and were not accepted."""
    accepted = accepted or {}
    return {
        name: (then[name], now[name])
        for name in WORDS
        if name in then and name in now and now[name] not in (then[name], *accepted.get(name, ()))
    }


def require_like_inputs(
    job: Job, store: Store, own: Mapping[str, str], accept: bool = False, writes: bool = True
) -> None:
    """Check that a job sees the network and data that its inputs saw, as far as they have the same ones.

    Args:
        job: The job.
        store: Where its inputs are.
        own: What it sees.
        accept: Whether what differs is accepted.
        writes: Whether it is written down that it was.

    Raises:
        ChangedError: If it sees something else.
    """
    for needed in job.ancestors:
        then, accepted = kept(store, needed.id)
        changed = differences(shared(job, needed, then), own, accepted)
        if changed and not accept:
            raise ChangedError(needed.id, sentences(changed))
        if changed and writes:
            _accept(store, needed.id, {name: now for name, (_, now) in changed.items()})


def of_inputs(job: Job, store: Store) -> Fingerprints:
    """Fingerprints of a job that has read stored points alone: those of its inputs."""
    taken: Fingerprints = {}
    for needed in job.ancestors:
        taken |= shared(job, needed, kept(store, needed.id)[0])
    return taken


def shared(job: Job, needed: Job, fingerprints: Mapping[str, str]) -> Fingerprints:
    """Fingerprints of an input that are of a network or data that the job has as well."""
    same = {
        "model_source": needed.model_spec.name == job.model_spec.name,
        "model_shapes": needed.model_spec == job.model_spec,
        "data_stamp": needed.data_spec == job.data_spec,
        "data_fingerprint": needed.data_spec.identity == job.data_spec.identity,
    }
    return {name: value for name, value in fingerprints.items() if same.get(name)}


class Unchanged:
    """Compares the fingerprints of finished runs with the present code and data.

    Args:
        store: Where their outcomes are.
        accept: Whether what differs is accepted.
        writes: Whether it is written down that it was, so that it need not be accepted again.
    """

    def __init__(self, store: Store, accept: bool = False, writes: bool = False) -> None:
        self.store, self.accept, self.writes = store, accept, writes
        self._sources: dict[str, str | None] = {}
        self._stamps: dict[DataSpec, str | None] = {}
        self._data: dict[DataSpec, str | None] = {}
        self._files: dict[str | None, str | None] = {}

    def require(self, job: Job) -> None:
        """Check a job, if it is finished.

        Raises:
            ChangedError: If its network's source or its data are others now, and that is not accepted.
        """
        if not self.is_seen(job) or not self.store.exists(outcome_path(job.id)):
            return
        then, accepted = kept(self.store, job.id)
        now = self._now(job, then, accepted)
        changed = differences(then, now, accepted)
        if changed and not self.accept:
            raise ChangedError(job.id, sentences(changed))
        known = {name: (value, *accepted.get(name, ())) for name, value in then.items()}
        news = {name: value for name, value in now.items() if name in known and value not in known[name]}
        if news and self.writes:
            _accept(self.store, job.id, news)

    def changes(self, job: Job, then: Fingerprints, accepted: Accepted) -> Differences:
        """What differs now from what a finished job's outcome says."""
        return differences(then, self._now(job, then, accepted), accepted)

    def is_seen(self, job: Job) -> bool:
        """Whether anything of a job's network and data can be seen beforehand."""
        return bool(self._seen(job))

    def _now(self, job: Job, then: Fingerprints, accepted: Accepted) -> Fingerprints:
        """Present fingerprints; the data are read only if their stamp differs."""
        now, data = self._seen(job), job.data_spec
        known = (then.get("data_stamp"), *accepted.get("data_stamp", ()))
        if known[0] is not None and now.get("data_stamp", known[0]) not in known:
            if data not in self._data:
                self._data[data] = _fingerprint_of(data)
            if (fingerprint := self._data[data]) is not None:
                return now | {"data_fingerprint": fingerprint}
        return now

    def _seen(self, job: Job) -> Fingerprints:
        name, data = job.model_spec.name, job.data_spec
        if data not in self._stamps:
            self._stamps[data] = data_sets.stamp(data)
        if name not in self._sources:
            code = job.model_spec.code
            self._sources[name] = None if code is None else own_code.digest(code)
        if job.weights_file not in self._files:
            self._files[job.weights_file] = digest_of_file(job.weights_file)
        seen = {
            "model_source": self._sources[name],
            "data_stamp": self._stamps[data],
            "weights_file": self._files[job.weights_file],
        }
        return {key: value for key, value in seen.items() if value is not None}


def _fingerprint_of(data: DataSpec) -> str | None:
    """The fingerprint of data as they are now; None if they cannot be read here."""
    try:
        return data_sets.load(data).fingerprint
    except (RaysurfError, ImportError, OSError):
        return None


def _accept(store: Store, run_id: str, news: Mapping[str, str]) -> None:
    """Write down what was accepted for a finished run."""
    path = outcome_path(run_id)
    outcome = store.get_json(path)
    accepted = read(outcome)[1]
    more = {name: [*accepted.get(name, []), value] for name, value in news.items()}
    store.put_json(path, outcome | {"accepted": accepted | more})


def sentences(changed: Differences) -> tuple[tuple[str, str, str], ...]:
    """Differences as an error has them."""
    return tuple((WORDS[name], then, now) for name, (then, now) in changed.items())
