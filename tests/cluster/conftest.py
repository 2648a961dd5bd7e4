"""One Ray for the tests of a folder; it ends with them, since even an idle one takes a part of a core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package")
def ray_cluster() -> Iterator[None]:
    """A Ray of two CPUs, with the dashboard that Train groups inside Tune need."""
    from raysurf.cluster.ray_cluster import connection

    with connection(None, needs_dashboard=True):
        yield
