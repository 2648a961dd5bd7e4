"""The Ray that a run uses: settings that must stand before its import, connection, and storage."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from raysurf.cluster.capacity import Capacity, growth, local_capacity, nodes_of
from raysurf.cluster.ray_patches import shut_down
from raysurf.errors import ClusterError, StoreError
from raysurf.redaction import redact
from raysurf.store.lease import NAME, Lease
from raysurf.store.store import Store

SETTINGS = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "30",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
TOKEN = (
    "the token that the cluster was started with: in $RAY_AUTH_TOKEN, in the file $RAY_AUTH_TOKEN_PATH or in "
    "~/.ray/auth_token, and RAY_AUTH_MODE=token"
)
A_CLUSTER = f"a running Ray cluster; if it asks for a token, {TOKEN}"
ANSWER_S = 10.0
QUIET = ("ray", "ray.tune", "ray.train", "ray.data")


def prepare() -> None:
    """Set what Ray reads when it is imported; what the user has set already is left."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    # It lists trials whose process was lost; raysurf reports them with their numbers.
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)


def knock(address: str, expected: str) -> None:
    """Find out within seconds whether anybody listens at an address; Ray itself would wait for minutes.

    Args:
        address: ``host:port`` or a URL; of any other kind, such as ``auto``, nothing is known beforehand.
        expected: What should be there.

    Raises:
        ClusterError: If nobody does.
    """
    try:
        at = urlsplit(address if "://" in address else f"//{address}")
        port = at.port or {"http": 80, "https": 443, "ray": 10001}.get(at.scheme)
        if at.hostname and port:
            socket.create_connection((at.hostname, port), timeout=ANSWER_S).close()
    except (OSError, ValueError) as error:
        raise ClusterError(address, f"no answer ({error})", expected) from None


def is_joined() -> bool:
    """Whether this process is connected to a Ray already."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


@contextmanager
def connection(address: str | None, needs_dashboard: bool) -> Iterator[Capacity]:
    """Be connected to a cluster: the one at ``address``, the one already joined, or one of our own.

    Args:
        address: Of a running cluster; None starts one on this machine, and stops it at the end.
        needs_dashboard: Whether Train groups run inside Tune; without the dashboard a stopped trial leaks its workers.

    Raises:
        ClusterError: If there is no cluster at the address, or it lets nobody in without its token.
    """
    if address is not None:
        knock(address, A_CLUSTER)
    prepare()
    import ray
    from ray.exceptions import AuthenticationError

    ours = not is_joined()
    with ExitStack() as stack:
        if ours and address is None:
            from raysurf.cluster.local_ray import own_ray

            stack.enter_context(own_ray(int(local_capacity().cpus), needs_dashboard))
        elif ours:
            stack.callback(shut_down)
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:  # Ray's own errors here are of every class, Exception itself among them
                no_token = isinstance(error, AuthenticationError)
                got = "no token to send, which the cluster asks for" if no_token else f"{type(error).__name__}: {error}"
                raise ClusterError(str(address), got, A_CLUSTER) from error
        prepare()
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus, gpus = (sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU"))
        grows = None if ours and address is None else growth()
        yield Capacity(cpus, gpus, redact(address or "this machine"), nodes_of(nodes), grows)


FOLDER = "_ray"


@contextmanager
def ray_storage(store: Store) -> Iterator[str]:
    """A folder of Ray's own for one run, of which nothing is left in the end; what raysurf needs is elsewhere.

    What runs that were killed have left is removed as well, and what others on the same store use is left alone.

    Yields:
        Its address: of a folder a path, else a URI with the options of the store's.
    """
    run_id = uuid.uuid4().hex[:8]
    with Lease(store, f"ray.{run_id}", "") as lease:
        lease.take()
        folders = {path.split("/")[1] for path in store.list(FOLDER)}
        others = {name: Lease(store, f"ray.{name}", "") for name in folders if NAME.fullmatch(name)}
        # Who is seen now and has not stirred by the end is dead.
        _remove_unused(store, others)
        try:
            yield _address(store.address, run_id)
        finally:
            store.delete_folder(f"{FOLDER}/{run_id}")
            with contextlib.suppress(StoreError, OSError):
                _remove_unused(store, others)
                if store.is_local:
                    Path(store.root, FOLDER).rmdir()


def _remove_unused(store: Store, others: dict[str, Lease]) -> None:
    """Remove the folders of runs that are no more."""
    for run_id in [run_id for run_id, lease in others.items() if lease.take() is None]:
        with others.pop(run_id):
            store.delete_folder(f"{FOLDER}/{run_id}")


def _address(store: str, run_id: str) -> str:
    if "://" not in store:
        return str(Path(store) / FOLDER / run_id)
    head, mark, options = store.partition("?")
    return f"{head.rstrip('/')}/{FOLDER}/{run_id}{mark}{options}"
