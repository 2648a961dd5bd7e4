"""Reading results takes few packages; what else is needed is told in one line."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import raysurf
from raysurf.packages import OF_RUN
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.cases import ROOT
from tests.support.imports import imports
from tests.support.stores import epoch

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Every module of the extra is absent to the process.
ABSENT = f"import sys; sys.modules.update(dict.fromkeys({OF_RUN!r})); "


def names(requirements: list[str]) -> set[str]:
    """Names of distributions, without versions and extras."""
    return {re.split(r"[\[<>=]", requirement)[0] for requirement in requirements}


@cache
def installed() -> Mapping[str, list[str]]:
    """What is installed, by module; found by reading the files of every package."""
    return packages_distributions()


def distribution(module: str) -> str:
    """What is installed for a module."""
    return installed().get(module, [module])[0].lower().replace("_", "-")


def without_the_extra(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ABSENT + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_extra_is_what_is_known_of_it() -> None:
    """The modules whose absence is told are those of the packages of the extra; the extra for reading adds none."""
    assert {distribution(module) for module in OF_RUN} == names(PROJECT["optional-dependencies"]["run"])
    assert PROJECT["optional-dependencies"]["results"] == []


def test_what_is_imported_is_declared() -> None:
    """Every module that raysurf imports, wherever, is of a package that the project or its extra names."""
    where_it_is = {"ipython"}
    named = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["run"]) | where_it_is | {"raysurf"}
    for path in sorted((ROOT / "raysurf").rglob("*.py")):
        modules = {module.partition(".")[0] for module in imports(path)} - sys.stdlib_module_names
        assert {distribution(module) for module in modules} <= named, path


@pytest.mark.parametrize("room", ["results", "cli"])
def test_results_need_the_projects_own_dependencies_alone(room: str) -> None:
    """What the room for results imports, and the commands, is installed without the extra; displays take more."""
    own = names(PROJECT["dependencies"]) | {"raysurf"}
    displays = {"display.py": {"rich"}, "watch.py": {"rich"}}
    for path in sorted((ROOT / "raysurf" / room).glob("*.py")):
        modules = {module.partition(".")[0] for module in imports(path)} - sys.stdlib_module_names
        asked = {distribution(module) for module in modules} - own
        assert asked <= displays.get(path.name, set()), path


def test_tables_are_read_without_the_extra(tmp_path: Path) -> None:
    """Tables, SQL and commands work without torch and Ray; what needs them is one line that says what to install."""
    write_rows(Store(str(tmp_path / "r")), "epochs", "a", [epoch("a")])
    before = sorted(tmp_path.rglob("*"))
    done = without_the_extra(COMMANDS, str(tmp_path / "r"))
    assert done.stdout.split() == ["[{'lr':", "0.1}]", "lr", "---", "0.1", "0", "2", "2"], done.stderr
    assert done.stderr.splitlines() == [
        "error: running jobs needs torch, which is not installed (pip install '.[run]' in a clone of raysurf)",
        "error: raysurf plot needs matplotlib, which is not installed (pip install '.[run]' in a clone of raysurf)",
    ]
    assert sorted(tmp_path.rglob("*")) == before


COMMANDS = """
from raysurf.results import open
print(open(sys.argv[1]).sql("select lr from epochs").to_pylist())
from raysurf.cli.main import _run
place = ["--results", sys.argv[1]]
for command in ("table epochs --columns lr", "run sweeps/quickstart.yaml", "plot plane"):
    sys.argv = ["raysurf", *command.split(), *place]
    print(_run())
"""


def test_public_names_that_need_more_say_so() -> None:
    """So do names of the Python interface; a module that is missing for another reason is left as it is."""
    done = without_the_extra("import raysurf; raysurf.SGD; raysurf.Average")
    assert "MissingPackageError: raysurf.Average needs torch, which is not installed" in done.stderr
    assert raysurf.Average.__name__ == "Average"
    done = without_the_extra("sys.modules['yaml'] = None; import raysurf; raysurf.load")
    assert done.stderr.endswith("ModuleNotFoundError: import of yaml halted; None in sys.modules\n")
