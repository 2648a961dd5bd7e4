"""Where Ray keeps its own files: beside the tables, so that every node that sees the one sees the other."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raysurf.errors import StoreError
from raysurf.results.claims import NAME, Claim
from raysurf.results.store import Store

FOLDER = "_ray"


@contextmanager
def ray_storage(store: Store) -> Iterator[str]:
    """A folder of Ray's own for one run, of which nothing is left in the end; what raysurf needs is elsewhere.

    What runs that were killed have left is removed as well, and what others on the same store use is left alone.

    Yields:
        Its address: of a folder a path, else a URI with the options of the store's.
    """
    run_id = uuid.uuid4().hex[:8]
    with Claim(store, _name(run_id), "") as claim:
        claim.take()
        others = {each: Claim(store, _name(each), "") for each in _runs(store)}
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


def _name(run_id: str) -> str:
    return f"ray.{run_id}"


def _runs(store: Store) -> set[str]:
    """Runs that have a folder."""
    names = {path.split("/")[1] for path in store.list(FOLDER)}
    return {name for name in names if NAME.fullmatch(name)}


def _remove_unused(store: Store, others: dict[str, Claim]) -> None:
    """Remove the folders of runs that are no more."""
    for run_id in [each for each, claim in others.items() if claim.take() is None]:
        with others.pop(run_id):
            store.delete_folder(f"{FOLDER}/{run_id}")


def _address(store: str, run_id: str) -> str:
    if "://" not in store:
        return str(Path(store) / FOLDER / run_id)
    head, mark, options = store.partition("?")
    return f"{head.rstrip('/')}/{FOLDER}/{run_id}{mark}{options}"
