"""Imports go one way, as DESIGN's table of rooms says; those of tests lead to ``tests/support``."""

from __future__ import annotations

import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.cases import ROOT
from tests.support.imports import imported_files, imports

ROOMS = [
    {"redaction"},
    {"failure"},
    {"errors"},
    {"packages", "own_code", "wording"},
    {"plugs"},
    {"values"},
    {"weightspace", "stochastic"},
    {"models", "data"},
    {"training"},
    {"store"},
    {"results"},
    {"jobs"},
    {"maintenance"},
    {"sweep"},
    {"tracking", "report"},
    {"cluster"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
ONLY = {
    "redaction": set(),
    "failure": {"redaction"},
    "errors": {"redaction", "failure"},
    "packages": {"errors"},
    "own_code": {"errors", "failure"},
    "wording": set(),
    "plugs": {"errors", "own_code"},
    "values": {"errors", "own_code", "plugs"},
    "store": {"errors", "failure", "values", "packages", "redaction", "wording"},
    "results": {"errors", "failure", "values", "packages", "redaction", "wording", "store"},
    "tracking": {"errors", "values", "packages", "redaction", "wording", "store", "results"},
    "report": {"errors", "failure", "values", "packages", "redaction", "wording", "store", "results"},
}
FILES = sorted(
    path for path in (ROOT / "raysurf").rglob("*.py") if path.parent != ROOT / "raysurf" or path.stem in LEVEL
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_go_down(path: object) -> None:
    """A room uses the rooms below it only, and only the cluster room imports ray."""
    room = path.relative_to(ROOT / "raysurf").parts[0].removesuffix(".py")  # type: ignore[attr-defined]
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "ray":
            assert room == "cluster", module
        if parts[0] == "torch":
            assert room not in ONLY, module
        if parts[0] == "raysurf" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != room:
            assert LEVEL[parts[1]] < LEVEL[room], module
            assert room not in ONLY or parts[1] in ONLY[room], module


def test_no_files_import_one_another() -> None:
    """No circle of any length, with imports inside functions and for typing alone counted."""
    paths = sorted((ROOT / "raysurf").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    files = dict(zip(names, paths, strict=True))
    tuple(TopologicalSorter({path: imported_files(path, files) for path in paths}).static_order())


FILE = str(ROOT / "sweeps/small/search_digits.yaml")
CHECK = f"from raysurf.cli.main import cli; cli.main(['check', {FILE!r}], standalone_mode=False)"


# What is said in one process, the lightest first, and what of other packages is not imported by then.
SAID = (
    (
        ("import raysurf", {"pydantic", "yaml", "click", "numpy", "pyarrow"}),
        ("import raysurf.results", {"torch", "ray", "duckdb", "pydantic", "raysurf.jobs"}),
        (
            "from raysurf.results import Results, open; raysurf.results.open",
            {"torch", "ray", "pandas", "duckdb", "pyarrow.dataset", "pyarrow.compute"},
        ),
    ),
    (
        ("import raysurf.sweep.yaml_reader", {"torch", "ray", "pydantic", "optuna", "numpy"}),
        ("import raysurf.cli.main", {"torch", "ray", "pyarrow", "optuna"}),
        (CHECK, {"torch", "ray", "pandas", "duckdb", "fsspec", "optuna", "pyarrow.dataset", "pyarrow.compute"}),
        ("import raysurf.sweep.document, raysurf.cluster.launch", {"torch", "ray"}),
        ("import raysurf.training.loop, raysurf.jobs.execute", {"ray"}),
    ),
)


@pytest.mark.parametrize("said", SAID, ids=["results", "commands"])
def test_imports_stay_light(said: tuple[tuple[str, set[str]], ...], tmp_path: Path) -> None:
    """Opening tables, asking for help and checking a file load nothing heavy that they do not use."""
    code = "import sys\n"
    for statement, forbidden in said:
        code += f"{statement}\nprint('heavy', sorted(sys.modules.keys() & {forbidden!r}))\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert [line for line in done.stdout.splitlines() if line.startswith("heavy")] == ["heavy []"] * len(said)


def test_files_have_one_subject() -> None:
    """No file has more than 400 lines, and none has a name that says nothing."""
    for path in (ROOT / "raysurf").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
        assert path.stem not in {"utils", "helpers", "common", "misc", "core", "base"}, path


def test_no_test_module_imports_another() -> None:
    """What tests share is in ``tests/support``, which knows no test."""
    for path in (ROOT / "tests").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) +tests\b.*\btest_\w+", path.read_text(), re.MULTILINE), path
