"""What the pages show: every sweep file passes ``raysurf check``, and every block of commands and of Python runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import raysurf as rs
from raysurf.cli.main import cli
from tests.support.cases import ROOT
from tests.support.doc_blocks import DOCS, Block, blocks, pages, write_files

EXAMPLES = sorted((DOCS / "reference" / "examples").glob("*.yaml"))
SHELL = ("shell", "bash")


def having(*languages: str) -> list[Path]:
    """Pages with a block of some language that is not left alone."""
    return [page for page in pages() if any(b.language in languages and not b.left_alone for b in blocks(page))]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's own folder is the working folder, where its modules are looked for too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sweep of *Getting started* in a small form, and its results."""
    root = tmp_path_factory.mktemp("made")
    (sweep,) = [block.code for block in blocks(DOCS / "getting-started.md") if block.file == "cycles.yaml"]
    (root / "cycles.yaml").write_text(small(sweep))
    run_inline(root / "cycles.yaml", root / "results")
    return root


def small(code: str) -> str:
    """The same sweeps, in YAML or Python, on a tenth of the data, with fewer trials, seeds and points."""
    for whole, part in (
        ("data: digits", "data: {name: digits, share: 0.1}"),
        ('data="digits"', 'data=rs.DataSpec(name="digits", share=0.1)'),
        ("trials: 8", "trials: 4"),
        ("trials=8", "trials=4"),
        ("trials: 10", "trials: 4"),
        ("seeds: [0, 1, 2]", "seeds: [0, 1]"),
        ("seeds=(0, 1, 2)", "seeds=(0, 1)"),
        ("grid: 13", "grid: 3"),
        ("num_points: 21", "num_points: 3"),
    ):
        code = re.sub(rf"{re.escape(whole)}(?=[,}})\s])", lambda _, part=part: part, code)
    return code


def run_inline(file: str | Path, results: str | Path = "results") -> None:
    """Run the sweeps of a file in this process."""
    for sweep in rs.load(file):
        assert rs.run(sweep, str(results), executor="inline").failed == 0


def test_blocks_are_found() -> None:
    """Each language that is looked for is there, and so are blocks that are left alone with a reason."""
    every = [block for page in pages() for block in blocks(page)]
    assert {"yaml", "shell", "python"} <= {block.language for block in every}
    assert len([block for block in every if block.language == "yaml"]) > 15
    assert all(len(block.left_alone) > 10 for block in every if block.left_alone)
    fences = sum(len(re.findall(r"^```[a-z]+$", page.read_text(), re.MULTILINE)) for page in pages())
    assert fences == len(every)


@pytest.mark.parametrize("page", having("yaml"), ids=named)
def test_every_sweep_passes_check(page: Path, tmp_path: Path) -> None:
    """A block of YAML is a file that ``raysurf check`` passes."""
    write_files(page, tmp_path)
    for block in blocks(page):
        if block.language == "yaml" and not block.left_alone:
            Path("sweep.yaml").write_text(block.code)
            result = CliRunner().invoke(cli, ["check", "sweep.yaml"])
            assert result.exit_code == 0, f"{block.code}\n{result.output}{result.exception}"


@pytest.mark.parametrize("file", EXAMPLES, ids=named)
def test_every_example_passes_check(file: Path) -> None:
    """So does every example of the reference."""
    result = CliRunner().invoke(cli, ["check", str(file)])
    assert result.exit_code == 0, f"{result.output}{result.exception}"


def commands(block: Block) -> Iterator[str]:
    """The commands of a block, without comments; a backslash at a line's end goes on."""
    for line in block.code.replace("\\\n", " ").splitlines():
        command = re.sub(r"(^|\s)#.*", "", line).strip()
        if command:
            yield command


def run(command: str) -> None:
    """Run a command line; raysurf's own in this process, unless it starts Ray."""
    program, *arguments = shlex.split(command)
    if program == "raysurf" and arguments[0] != "run":
        line, _, output = command.partition(" > ")
        result = CliRunner().invoke(cli, shlex.split(line)[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}{result.exception}"
        if output:
            Path(output).write_text(result.stdout)
        return
    bin_folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "RAY_TMPDIR": "/tmp"}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("page", having(*SHELL, "python"), ids=named)
def test_every_block_of_commands_and_of_python_runs(page: Path, made: Path, tmp_path: Path) -> None:
    """They run in order, in a folder with the page's files and a finished sweep; sweeps of the page's own are small."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    own = {block.file: block.code for block in blocks(page) if block.file and block.file != "cycles.yaml"}
    for file, code in own.items():
        Path(file).write_text(small(code) if file.endswith(".yaml") else code)
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.left_alone:
            continue
        if block.language == "python":
            exec(compile(small(block.code), named(page), "exec"), names)
        elif block.language in SHELL:
            for command in commands(block):
                if command.startswith("raysurf run ") and command.split()[2] in own:
                    run_inline(command.split()[2])
                else:
                    run(command)
