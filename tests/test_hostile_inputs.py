"""Hostile files and names: nothing is run, nothing outside the store is touched, and there is one clear error."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save

import raysurf as rs
from raysurf.data.registry import load as load_data
from raysurf.errors import DataError, SpecError, StoreError, StoreWarning, UnknownNameError
from raysurf.jobs.context import StoreContext
from raysurf.jobs.execute import execute
from raysurf.jobs.outcome import metrics_of, outcome_path
from raysurf.jobs.provenance import Labels, collect
from raysurf.results import SCHEMAS
from raysurf.store.store import Store
from raysurf.store.tables import read_rows, write_rows
from raysurf.training.checkpoints import Place
from raysurf.training.workers import Workers
from tests.support.cases import tiny_sgd
from tests.support.command import raysurf
from tests.support.stores import epoch

HERE = Workers(0, 1, torch.device("cpu"))
LABELS = Labels("s", "trial", "a", collect())


class Evil:
    """What is run when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


@pytest.fixture
def canary(tmp_path: Path) -> Any:
    """A path at which nothing may be made: not by anything in the test."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


def check_refused(*arguments: str) -> str:
    """A command ends as with a user's mistake: code 2, and no traceback; gives what it says."""
    done = raysurf(*arguments)
    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert done.err.startswith(("error:", "1 fault;", "Usage:"))
    return done.err


@pytest.mark.parametrize("name", ["evil.pt", "evil.pth", "evil.safetensors"])
def test_pickled_weights_are_not_run(name: str, canary: Path, tmp_path: Path) -> None:
    """A file of weights with code in it is an error, whatever its name."""
    (tmp_path / name).write_bytes(pickle.dumps({"state_dict": Evil(canary)}, protocol=2))
    start = tiny_sgd()
    job = rs.Weights(model=start.model, data=start.data, file=str(tmp_path / name))
    with pytest.raises(DataError, match=r"a readable state dict|no code in it"):
        execute(job, Store(str(tmp_path / "r")), HERE, lambda at: None, LABELS)


def test_a_state_dict_of_other_things_is_refused(tmp_path: Path) -> None:
    """So is a plain pickle that is none of tensors by name."""
    start = tiny_sgd()
    for i, content in enumerate(([1, 2], {"state_dict": {"a": "b"}}, {1: torch.zeros(2)}, torch.zeros(3))):
        torch.save(content, tmp_path / f"{i}.pt")
        job = rs.Weights(model=start.model, data=start.data, file=str(tmp_path / f"{i}.pt"))
        with pytest.raises(DataError, match=r"a plain state dict|a readable state dict"):
            execute(job, Store(str(tmp_path / "r")), HERE, lambda at: None, LABELS)


def safetensors(header: Any, data: bytes = b"\0" * 8, length: int | None = None) -> bytes:
    """A file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(begin: int, end: int, dtype: str = "F32", shape: tuple[int, ...] = (2,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


FILES: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda canary: b"",
    "pickle": lambda canary: pickle.dumps(Evil(canary)),
    "huge header": lambda canary: safetensors({}, length=2**62),
    "header past the end": lambda canary: safetensors({"point/a": tensor(0, 8)}, length=10**6),
    "cut short": lambda canary: save({"point/a": torch.zeros(100)})[:-17],
    "negative offsets": lambda canary: safetensors({"point/a": tensor(-8, 0)}),
    "offsets past the end": lambda canary: safetensors({"point/a": tensor(0, 8), "point/b": tensor(8, 2**60)}),
    "overlap": lambda canary: safetensors({"point/a": tensor(0, 8), "point/b": tensor(0, 8)}),
    "huge shape": lambda canary: safetensors({"point/a": tensor(0, 8, shape=(2**62, 2**62))}),
    "no JSON": lambda canary: safetensors(b"\xff\xfe{"),
    "deep JSON": lambda canary: safetensors(b"[" * 100_000),
    "foreign type": lambda canary: safetensors({"point/a": tensor(0, 8, "OBJECT")}),
    "foreign names": lambda canary: save({"../../canary": torch.zeros(2)}),
}


@pytest.mark.parametrize("name", FILES)
def test_stored_weights_that_are_none(name: str, canary: Path, tmp_path: Path) -> None:
    """Every malformed weights file in a store is an error that names it."""
    store, job = Store(str(tmp_path / "r")), tiny_sgd()
    store.put_bytes(f"jobs/{job.id}/weights.safetensors", FILES[name](canary))
    with pytest.raises(StoreError, match="remove it and run again"):
        StoreContext(job, store, HERE, lambda at: None).weights(job)


def test_checkpoints_that_are_none_are_passed_over(canary: Path, tmp_path: Path) -> None:
    """Notes of any content, and files of any name, are passed over for the older good state; nothing else is read."""
    import hashlib

    store, job = Store(str(tmp_path / "r")), tiny_sgd()
    folder = f"trajectories/{job.trajectory}" if job.trajectory else f"jobs/{job.id}/checkpoint"
    StoreContext(job, store, HERE, lambda at: None).checkpoints.save(Place(1), lambda: {"trainable/a": torch.ones(2)})
    (tmp_path / "outside.json").write_text("{}")
    bad = pickle.dumps(Evil(canary))
    good = save({"trainable/a": torch.zeros(2)})

    def note(data: bytes, **more: Any) -> bytes:
        return json.dumps({"sha256": hashlib.sha256(data).hexdigest(), "rows": {}, **more}).encode()

    notes = [
        (bad, note(bad)),
        (good, note(bad)),
        (good, b"{"),
        (good, b"[" * 100_000),
        (good, b"[1]"),
        (good, b'{"rows": {}}'),
        (good, note(good, rows={"../../../canary": [{}]})),
        (good, note(good, rows={"epochs": [{"run_id": "x", "../canary": 1}]})),
        (good, note(good, rows={"epochs": "abc"})),
        (good, note(good, rows=[["epochs", []]])),
        (safetensors({}, length=2**62), note(safetensors({}, length=2**62))),
    ]
    epochs_done = min(2, job.epochs)
    for data, text in notes:
        store.put_bytes(f"{folder}/{epochs_done}.safetensors", data)
        store.put_bytes(f"{folder}/{epochs_done}.json", text)
        for odd in ("x.json", "..json", "-3.json", "1-.json", "1--2.json", "1e9.json", "endx.json", "٣.json"):
            store.put_bytes(f"{folder}/{odd}", note(good))
        loaded = StoreContext(job, store, HERE, lambda at: None).checkpoints.load()
        assert loaded is not None
        assert loaded[0] == Place(1) and loaded[1]["trainable/a"].sum() == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"figures": [1]}',
        '{"figures": {"a": "b"}}',
        '{"figures": {"a": true}}',
        "[]",
        "null",
        "{",
        "[" * 100_000,
        '{"figures": {"a": ' + "9" * 5000 + "}}",
    ],
    ids=lambda text: text[:20],
)
def test_outcomes_that_are_none(text: str, tmp_path: Path) -> None:
    """An outcome of any other content is an error that names it."""
    store = Store(str(tmp_path))
    store.put_bytes(outcome_path("sgd-1"), text.encode())
    with pytest.raises(StoreError, match=r"jobs/sgd-1/outcome\.json"):
        metrics_of(store, "sgd-1")


NINE = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10))
DOCUMENTS = {
    "apply": "job: !!python/object/apply:os.mkdir ['CANARY']",
    "new": "job: !!python/object/new:os.mkdir ['CANARY']",
    "name": "job: !!python/name:os.system",
    "module": "job: !!python/module:antigravity",
    "tuple": "? !!python/tuple [1]\n: 2",
    "directive": "%TAG !p! tag:yaml.org,2002:python/object/apply:\n---\njob: !p!os.mkdir ['CANARY']",
    "verbatim": "job: !<tag:yaml.org,2002:python/object/apply:os.mkdir> ['CANARY']",
    "laughs": f"a0: &a0 [x, x, x, x, x, x, x, x, x]\n{NINE}\njob: *a9",
    "name with a path": "name: ../../canary\njob: {kind: sgd, model: lenet5, data: digits, epochs: 1, lr: 0.1}",
    "absolute name": "name: /canary\njob: {kind: sgd, model: lenet5, data: digits, epochs: 1, lr: 0.1}",
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("verb", ["check", "run"])
def test_hostile_yaml(verb: str, name: str, canary: Path, tmp_path: Path) -> None:
    """Tags that make objects, anchors that stand for billions of values and names that lead out are faults."""
    (tmp_path / "a.yaml").write_text(DOCUMENTS[name].replace("CANARY", str(canary)))
    assert "fault" in raysurf(f"{verb} {tmp_path}/a.yaml --results {tmp_path}/r/r").err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml"]


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def pickled_type(canary: Path) -> bytes:
    """A file whose column claims to be of a pickled extension type (CVE-2023-47248)."""
    metadata = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Evil(canary), protocol=0),
    }
    field = pa.field("run_id", pa.string(), True, metadata)
    return parquet(pa.Table.from_arrays([pa.array(["x"])], schema=pa.schema([field])))


TABLES: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda canary: b"",
    "garbage": lambda canary: b"PAR1" + b"\xff" * 200 + b"PAR1",
    "huge footer": lambda canary: b"PAR1" + struct.pack("<i", 2**31 - 1) + b"PAR1",
    "pickle": lambda canary: pickle.dumps(Evil(canary)),
    "pickled type": pickled_type,
    "foreign columns": lambda canary: parquet(pa.table({"x": [1, 2]})),
    "foreign types": lambda canary: parquet(pa.table({name: [[1.5]] for name in SCHEMAS["runs"].names})),
    "nulls": lambda canary: parquet(pa.table({name: pa.nulls(1) for name in SCHEMAS["runs"].names})),
}


@pytest.mark.parametrize("name", TABLES)
def test_hostile_tables(name: str, canary: Path, tmp_path: Path) -> None:
    """What is no table of ours is an error to strict readers and commands; others leave it out, and name it."""
    store = Store(str(tmp_path / "r"))
    write_rows(store, "epochs", "a", [epoch("a")])
    store.put_bytes("tables/runs/a.parquet", TABLES[name](canary))
    # An empty file may be what a machine left that lost power: a run takes it for one that was not written.
    if name == "empty":
        assert read_rows(store, "runs", "a") == []
    else:
        with pytest.raises(StoreError, match="a Parquet file that raysurf wrote"):
            read_rows(store, "runs", "a")
    with pytest.raises(StoreError, match="a Parquet file that raysurf wrote"):
        rs.results.open(store.uri, strict=True).table("runs")
    with pytest.warns(StoreWarning, match=r"tables/runs/a.parquet is left out"):
        assert rs.results.open(store.uri).table("runs").num_rows == 0
    for command in ("table runs", "compare budgets", "plot plane"):
        assert "tables/runs/a.parquet" in check_refused(f"{command} --strict --results {store.uri}")
    code, _, said = raysurf(f"table runs --results {store.uri}")
    assert code == 0 and said.startswith("warning: ") and said.count("tables/runs/a.parquet is left out") == 1, said
    assert rs.results.open(store.uri).table("epochs").num_rows == 1


def test_stored_specs_are_not_run(canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dotted-path model in a row is never imported, and JSON in a row that is none is an error."""
    (tmp_path / "evil_model.py").write_text(f"import os\nos.mkdir({str(canary)!r})\ndef build(**k): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    store, job = Store(str(tmp_path / "r")), tiny_sgd()
    execute(job, store, HERE, lambda at: None, LABELS)
    (row,) = read_rows(store, "runs", job.id)
    spec = json.dumps({**json.loads(row["spec"]), "model": "evil_model:build"})
    write_rows(store, "runs", job.id, [row | {"spec": spec, "model": "evil_model:build"}])
    for command in ("table runs", "compare budgets", f"plot schedule -o {tmp_path}/x.svg"):
        done = raysurf(f"{command} --results {store.uri}")
        assert done.code == 0, done.err
    odd = ({"start": 5}, {"along": None}, {"weights": ["x"]}, {"along": {"kind": "point"}}, {"num_bends": "3"})
    for wrong in ("{", "[1]", "[" * 100_000, *map(json.dumps, odd)):
        write_rows(store, "runs", job.id, [row | {"spec": wrong}])
        check_refused(f"compare budgets --results {store.uri}")


@pytest.mark.parametrize(
    "uri",
    [
        "file:///tmp/../etc",
        "file:///tmp/%2e%2e/etc",
        "s3://bucket/../other",
        "s3://bucket/a/%2E%2e/b",
        "s3://KEY:SECRET@bucket/a",
        "s3://SECRET@bucket/a",
        "s3://bucket/a?secret_key=SECRET",
        "gopher://x",
        "http://example.invalid/results",
        "s3://",
        "a\0b",
        "file://\0",
    ],
)
def test_hostile_addresses(uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An address that leads upwards, holds a key or is of no kind is one error, which does not tell the key."""
    with pytest.raises(StoreError) as caught:
        Store(uri)
    assert "SECRET" not in str(caught.value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("{kind: sgd, model: lenet5, data: digits, epochs: 1, lr: 0.1}")
    for command in ("check a.yaml", "run a.yaml", "table runs", "compare budgets"):
        assert "SECRET" not in check_refused(*command.split(), "--results", uri)
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize("name", ["../../canary", "/etc/passwd", "a/../../canary", "..", "a\0b", "a\\..\\b"])
def test_hostile_names(name: str, canary: Path, tmp_path: Path) -> None:
    """Ids, parts, tables and sweeps that lead out of the store are refused wherever they are given."""
    store = Store(str(tmp_path / "r"))
    write_rows(store, "epochs", "a", [epoch("a")])
    refusals: list[Callable[[], object]] = [
        lambda: write_rows(store, "epochs", name, [epoch("a")]),
        lambda: read_rows(store, "epochs", name),
        lambda: read_rows(store, name, "a"),
        lambda: store.put_json(outcome_path(name), {}),
        lambda: store.list(name),
        lambda: store.delete(name),
        lambda: store.delete_folder(name),
        lambda: rs.results.open(store.uri).table(name),
        lambda: rs.Sweep(tiny_sgd(), name=name),
    ]
    for refused in refusals:
        with pytest.raises((StoreError, UnknownNameError, SpecError)):
            refused()
    for command in ("table", "plot plane --run", "compare budgets --sweep"):
        check_refused(*command.split(), name, "--results", store.uri)
    assert store.list() == ["tables/epochs/a.parquet", "version.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r"]


def test_links_out_of_the_store_are_refused(tmp_path: Path) -> None:
    """Nothing is read, written or removed through a link that leads out; the store itself may be one."""
    (tmp_path / "real").mkdir()
    (tmp_path / "r").symlink_to(tmp_path / "real")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "weights.safetensors").write_bytes(b"theirs")
    store, job = Store(str(tmp_path / "r")), tiny_sgd()
    write_rows(store, "epochs", "a", [epoch("a")])
    (tmp_path / "r" / "jobs").mkdir()
    (tmp_path / "r" / "jobs" / job.id).symlink_to(outside)
    (tmp_path / "r" / "tables" / "epochs" / "b.parquet").symlink_to(outside / "weights.safetensors")
    (tmp_path / "r" / "again").symlink_to(tmp_path / "r" / "tables")
    for refused in (
        lambda: StoreContext(job, store, HERE, lambda at: None).weights(job),
        lambda: store.put_bytes(f"jobs/{job.id}/weights.safetensors", b"ours"),
        lambda: store.delete(f"jobs/{job.id}/weights.safetensors"),
        lambda: store.delete_folder(f"jobs/{job.id}"),
        lambda: store.list(f"jobs/{job.id}"),
        lambda: read_rows(store, "epochs", "b"),
        lambda: rs.results.open(store.uri).table("epochs"),
    ):
        with pytest.raises(StoreError, match=r"a link to .*outside.*; expected files and folders of the store's own"):
            refused()
    assert [path.name for path in outside.iterdir()] == ["weights.safetensors"]
    assert (outside / "weights.safetensors").read_bytes() == b"theirs"
    (tmp_path / "r" / "tables" / "epochs" / "b.parquet").unlink()
    assert store.list("tables") == ["tables/epochs/a.parquet"]
    assert store.exists("again/epochs/a.parquet")


def png(width: int, height: int) -> bytes:
    """A picture that claims a size, and has no more than a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def grey() -> bytes:
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(sink, "BMP")
    return sink.getvalue()


DATA: dict[str, Callable[[Path], pa.Table]] = {
    "PostScript": lambda canary: pa.table(
        {"image": [f"%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%mkdir {canary}) (w) file\n".encode()], "label": [0]}
    ),
    "bomb": lambda canary: pa.table({"image": [png(60_000, 60_000)], "label": [0]}),
    "cut short": lambda canary: pa.table({"image": [grey()[:2000]], "label": [0]}),
    "pickle": lambda canary: pa.table({"image": [pickle.dumps(Evil(canary))], "label": [0]}),
    "numbers": lambda canary: pa.table({"image": [1], "label": [0]}),
    "words as labels": lambda canary: pa.table({"image": [grey()], "label": ["x"]}),
    "no labels": lambda canary: pa.table({"image": [grey()], "label": pa.nulls(1, pa.int64())}),
    "foreign struct": lambda canary: pa.table({"image": [{"x": b"y"}], "label": [0]}),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_hostile_data(name: str, canary: Path, tmp_path: Path) -> None:
    """Data that are no images and labels are one error, and no decoder is called that runs other programs."""
    pq.write_table(DATA[name](canary), tmp_path / "a.parquet")
    spec = rs.DataSpec(name="parquet", train=str(tmp_path / "a.parquet"), test=str(tmp_path / "a.parquet"))
    with pytest.raises(DataError):
        load_data(spec)
