"""What a terminal or a spreadsheet would act on is text in all that is printed."""

from __future__ import annotations

import csv
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import raysurf as rs
from raysurf.cli.display import Display
from raysurf.cli.output import encoded, printable
from raysurf.cluster.launch import plan_sweeps
from raysurf.store.store import Store
from tests.support.cases import ROOT
from tests.support.command import raysurf
from tests.support.flaky import linear

ESCAPE = "\x1b]0;owned\x07\x9b31m\u202eevil\r"
SHOWN = r"\x1b]0;owned\x07\x9b31m\u202eevil\r"
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_unprintable_characters_are_shown() -> None:
    """Control characters, overrides and lone surrogates as Python writes them; letters of all languages stay."""
    assert printable(ESCAPE) == SHOWN
    assert printable("é 日本 ± → ½\u00a0…\n\t~") == "é 日本 ± → ½\u00a0…\n\t~"
    assert printable("\udcff\u2066\x7f") == r"\udcff\u2066\x7f"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which a failed sweep has escapes in its configurations and errors."""
    root = tmp_path_factory.mktemp("hostile")
    tree = linear(fault="bug").with_holes({"model.options.until": rs.Each((f"a{ESCAPE}", f"b{ESCAPE}"))})
    sweep = rs.Sweep(tree, name="hostile")
    stream = io.StringIO()
    with Display(plan_sweeps([sweep], Store(str(root / "r"))), stream) as display:
        rs.run(sweep, str(root / "r"), executor="inline", listener=display)
    assert SHOWN in stream.getvalue()
    assert not RAW.search(stream.getvalue())
    (root / "s.yaml").write_text(
        'name: x\n"\\e[31mkey": 1\njob: {kind: sgd, model: digits_conv, data: digits, epochs: 1, "o\\e[2J": 2}\n'
    )
    (root / "plan.yaml").write_text(
        "name: x\njob: {kind: sgd, epochs: 1, lr: 0.1, data: digits, model: {name: tests.support.flaky:net, "
        'options: {until: !each ["\\e[2J", "\\e[3J"]}}}\n'
    )
    return root


@pytest.mark.parametrize(
    "command",
    [
        ("check", "ROOT/s.yaml"),
        ("check", "ROOT/plan.yaml"),
        ("why",),
        ("why", "hostile"),
        ("logs", "hostile/0"),
        ("best", "hostile\x1b[31m"),
        ("status", "--watch", "--once"),
        ("diff", "0", "\x1b[31m"),
        ("list",),
        ("table", "runs"),
        ("table", "runs", "--format", "csv"),
        ("table", "trials", "--format", "markdown"),
        ("table", "--sql", 'select error as "\x1b[31m", arm from runs'),
        ("table", "--sql", "select \x1b[31m"),
        ("table", "\x1b[31m"),
        ("export", "--params", "hostile"),
        ("du",),
        ("\x1b[31m",),
    ],
    ids=lambda command: ascii(" ".join(command)),
)
def test_commands_print_no_escape(command: tuple[str, ...], hostile: Path) -> None:
    """Whatever stands in a file, a store or an error: nothing of it reaches the terminal raw."""
    given = [argument.replace("ROOT", str(hostile)) for argument in command]
    at = [] if command[0] == "\x1b[31m" else ["--results", str(hostile / "r")]
    done = raysurf(*given, *at)
    assert done.out + done.err
    assert not RAW.search(done.out + done.err)


def test_csv_has_no_formulas() -> None:
    """A text that a spreadsheet would calculate has an apostrophe before it; numbers have none, in any column."""
    texts = ["=1+1", "+1", "-0.5", "-1e-3", "@SUM(A1)", "-x", "\t=1", "a=1", None, "-inf", "+cmd|' /C calc'!A0"]
    rows = pa.table({"text": texts, "=head": [-1.5] * len(texts), "list": [["=1", "2"]] * len(texts)})
    head, *lines = csv.reader(io.StringIO(encoded(rows, "csv").decode()))
    assert head == ["text", "'=head", "list"]
    expected = ["'=1+1", "+1", "-0.5", "-1e-3", "'@SUM(A1)", "'-x", "'\t=1", "a=1", "", "-inf", "'+cmd|' /C calc'!A0"]
    assert [line[0] for line in lines] == expected
    assert {tuple(line[1:]) for line in lines} == {("-1.5", "'=1;2")}


def test_markdown_shows_markup_as_text() -> None:
    """Neither HTML nor a link, nor the end of a cell, comes of what stands in a row."""
    rows = pa.table({"a|b": ["<img src=x onerror=y>", "[x](javascript:y)", "`a` *b* \\"]})
    assert encoded(rows, "markdown").decode().splitlines()[2:] == [
        "| &lt;img src=x onerror=y&gt; |",
        r"| \[x\](javascript:y) |",
        r"| \`a\` \*b\* \\ |",
    ]


def test_every_command_prints_in_one_place() -> None:
    """No command calls click's echo by itself."""
    files = [path for path in (ROOT / "raysurf" / "cli").glob("*.py") if path.name != "output.py"]
    assert [path.name for path in files if re.search(r"click\.s?echo\(|\bprint\(", path.read_text())] == ["display.py"]


@pytest.mark.parametrize(
    ("command", "closed", "code"),
    [("--version", "<&-", 0), ("--version", ">&-", 0), ("nothing", "2>&-", 2), ("nothing", ">&- 2>&-", 2)],
)
def test_closed_streams_lead_nowhere(command: str, closed: str, code: int) -> None:
    """As cron and some service managers start commands: no traceback, and the exit code is the command's."""
    line = f"{shlex.quote(sys.executable)} -m raysurf.cli.main {command} {closed}"
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
