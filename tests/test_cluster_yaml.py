"""The cluster file is one that Ray's own launcher takes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.cases import ROOT


def cluster() -> dict[str, Any]:
    """The file, as the launcher reads it."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return content


def test_cluster_file_fits_rays_schema() -> None:
    """Ray's own validation passes, and refuses the same file with an unknown key."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster()))
    with pytest.raises(Exception, match="unexpected"):
        validate_config(prepare_config({**cluster(), "wrokers": 3}))


def test_workers_scale_from_none() -> None:
    """No worker is there before it is needed, trials run on workers only, and three lines are to be changed."""
    nodes = cluster()["available_node_types"]
    assert nodes["gpu_worker"]["min_workers"] == 0 < nodes["gpu_worker"]["max_workers"]
    assert nodes["head"]["resources"]["CPU"] == 0
    assert (ROOT / "cluster.yaml").read_text().count("# CHANGE") == 3
