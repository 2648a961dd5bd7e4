"""Where Ray keeps its own files: beside the tables, so that every node that sees the one sees the other."""

from __future__ import annotations

from pathlib import Path

from raysurf.results.store import Store

FOLDER = "_ray"


def ray_storage(address: str) -> str:
    """Address of Ray's folder in a store: of a folder a path, else a URI with the options of the store's."""
    if "://" not in address:
        return str(Path(address) / FOLDER)
    head, mark, options = address.partition("?")
    return f"{head.rstrip('/')}/{FOLDER}{mark}{options}"


def remove_ray_storage(store: Store) -> None:
    """Remove Ray's own files of a run that has ended; what raysurf needs is in its tables, jobs and trajectories."""
    store.delete_folder(FOLDER)
