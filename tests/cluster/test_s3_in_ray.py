"""A sweep on Ray whose results, checkpoints and Ray's own files lie on S3."""

from __future__ import annotations

from pathlib import Path

import pytest

import raysurf as rs
from raysurf.store.store import Store
from tests.support.command import raysurf_process
from tests.support.s3_server import KEYS, free_port, make_bucket, s3_server
from tests.support.stored_rows import stored_rows

FILE = """
name: ray-on-s3
job:
  kind: sgd
  model: {name: digits_conv, options: {width: 4}}
  data: {name: digits, share: 0.2}
  epochs: 2
  lr: !each [0.1, 0.05]
"""


@pytest.mark.ray
@pytest.mark.fault
def test_workers_write_to_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`raysurf run` with an address on S3 ends well, has the rows of a run on a disk, and leaves nothing of Ray's."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "file.yaml").write_text(FILE)
    with s3_server(port := free_port()):
        uri = make_bucket(port, "ray-sweeps")
        done = raysurf_process(f"run {tmp_path}/file.yaml --wandb off --results '{uri}'")
        assert done.code == 0, done.err
        rs.run(rs.load(tmp_path / "file.yaml"), str(tmp_path / "local"), executor="inline")
        assert stored_rows(uri) == stored_rows(str(tmp_path / "local"))
        assert {path.partition("/")[0] for path in Store(uri).list()} == {"jobs", "sweeps", "tables", "version.json"}
