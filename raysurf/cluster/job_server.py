"""A cluster's job server, over HTTP: hand jobs over, look at them, follow their logs, stop them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from raysurf.cluster.ray_cluster import TOKEN, knock, prepare
from raysurf.cluster.submission import Submission, Submitted, read_job
from raysurf.cluster.working_folder import write_zip
from raysurf.errors import ClusterError, nearest
from raysurf.redaction import redact

DEFAULT = "http://127.0.0.1:8265"
SCHEMES = ("http", "https", "ray")
# Each sets a level of its own when it is imported.
TALKERS = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")
A_SERVER = f"the dashboard of a running Ray cluster, such as {DEFAULT} (started by: ray start --head)"


class JobServer:
    """The job server of one cluster. The token, if there is one, is found and sent by Ray itself.

    Args:
        address: Of the dashboard (http://host:8265), or as ``ray.init`` takes it.

    Raises:
        ClusterError: From every method too, if nobody is there, or nobody is let in.
    """

    def __init__(self, address: str) -> None:
        self.address = redact(address)
        scheme = address.partition("://")[0] if "://" in address else ""
        if scheme and scheme not in SCHEMES:
            raise ClusterError(address, f"an address of kind {scheme}", A_SERVER)
        if scheme in ("http", "https"):
            knock(address, A_SERVER)
        prepare()
        _ask_for_token()
        with self._errors(), _only(address):
            from ray.job_submission import JobSubmissionClient

            for talker in TALKERS:
                logging.getLogger(talker).setLevel(logging.WARNING)
            self._client = JobSubmissionClient(address)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import requests
        from ray.exceptions import RayError

        try:
            yield
        except RayError as error:
            text = str(error)
            if "Invalid authentication" in text:
                got = "the answer that the token is not its own"
            elif "authentication" in text.lower():
                got = "no token to send, which the cluster asks for"
            else:
                got = f"{type(error).__name__}: {text}"
            raise ClusterError(self.address, got, TOKEN) from None
        except (OSError, RuntimeError, ValueError, KeyError, requests.RequestException) as error:
            if isinstance(error, ClusterError):
                raise
            raise ClusterError(self.address, f"{type(error).__name__}: {error}", A_SERVER) from error

    def is_here(self) -> bool:
        """Whether all nodes of the cluster are this machine, so that they see its folders.

        An address of this machine is not enough: it may be the end of a tunnel.
        """
        try:
            nodes = self._client._do_request("GET", "/nodes?view=hostNameList").json()
            names = nodes["data"].get("hostNameList") or nodes["data"].get("host_name_list")
        except Exception:  # an endpoint of Ray's own, which may go; a cluster elsewhere is the safe answer
            return False
        return bool(names) and set(names) == {socket.gethostname()}

    def submit(self, submission: Submission) -> None:
        """Hand a job over."""
        with tempfile.TemporaryDirectory() as folder, self._errors():
            package = Path(folder) / "folder.zip"
            write_zip(submission.folder, submission.extra, package)
            self._client.submit_job(
                entrypoint=submission.entrypoint,
                submission_id=submission.id,
                runtime_env={"working_dir": str(package), "env_vars": dict(submission.env_vars)},
                metadata=dict(submission.metadata),
            )

    def jobs(self) -> list[Submitted]:
        """All that raysurf has submitted to the cluster, the first first."""
        with self._errors():
            jobs = [read_job(details) for details in self._client.list_jobs()]
        return sorted((job for job in jobs if job is not None), key=lambda job: (job.began_ms or 0, job.id))

    def job(self, job_id: str) -> Submitted:
        """One of them.

        Raises:
            ClusterError: If there is none of this name; those that there are are named.
        """
        every = {job.id: job for job in self.jobs()}
        if job_id in every:
            return every[job_id]
        near = nearest(job_id, every)
        known = f"one of {', '.join(every)}" if every else "one that raysurf has submitted; there is none yet"
        raise ClusterError(self.address, f"no job {job_id!r}", known + (f" (did you mean {near!r}?)" if near else ""))

    def log(self, job_id: str) -> str:
        """All that a job has printed so far."""
        with self._errors():
            return str(self._client.get_job_logs(job_id))

    def follow(self, job_id: str) -> Iterator[str]:
        """What a job has printed and prints, until it ends."""
        chunks: AsyncIterator[str] = self._client.tail_job_logs(job_id)
        with asyncio.Runner() as runner:
            while True:
                with self._errors():
                    chunk = runner.run(_next(chunks))
                if chunk is None:
                    return
                yield chunk

    def stop(self, job_id: str, timeout_s: float = 60.0) -> Submitted:
        """Ask a job to end, and wait until it has.

        Returns:
            The job, as it ended or, if that took longer, as it is.
        """
        if not (job := self.job(job_id)).has_ended:
            with self._errors():
                self._client.stop_job(job_id)
            until = time.monotonic() + timeout_s
            while not (job := self.job(job_id)).has_ended and time.monotonic() < until:
                time.sleep(0.5)
        return job


async def _next(chunks: AsyncIterator[str]) -> str | None:
    return await anext(chunks, None)


@contextmanager
def _only(address: str) -> Iterator[None]:
    """Ray prefers what stands in its variables to the address that it is given, which was chosen after them."""
    before = os.environ.get("RAY_API_SERVER_ADDRESS")
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    try:
        yield
    finally:
        del os.environ["RAY_API_SERVER_ADDRESS"]
        if before is not None:
            os.environ["RAY_API_SERVER_ADDRESS"] = before


def _ask_for_token() -> None:
    """Send a token that lies where Ray looks for it, unless the user has said whether to.

    Ray's own client sends none while RAY_AUTH_MODE is unset.
    """
    if "RAY_AUTH_MODE" in os.environ:
        return
    place = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or os.path.isfile(place):
        os.environ["RAY_AUTH_MODE"] = "token"
