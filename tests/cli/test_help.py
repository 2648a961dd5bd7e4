"""``raysurf help``: every command, public name and table is a topic that has something to say."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import raysurf as rs
from raysurf.cli.main import cli
from raysurf.store.schemas import SCHEMAS


def said(*arguments: str) -> str:
    return CliRunner().invoke(cli, ["help", *arguments], catch_exceptions=False).output


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_has_help(name: str) -> None:
    """``raysurf COMMAND --help`` says what it does."""
    assert "Usage:" in CliRunner().invoke(cli, [name, "--help"], catch_exceptions=False).output


def test_alone_it_lists_every_topic() -> None:
    """Commands with a sentence, public names and tables, each once."""
    words = said().replace(",", " ").split()
    assert [name for name in (*cli.commands, *rs.__all__, *SCHEMAS) if name not in words] == []
    assert [name for name in rs.__all__ if name != "run" and name != "results" and words.count(name) > 1] == ["SWA"]


@pytest.mark.parametrize("topic", [*cli.commands, *rs.__all__, *SCHEMAS])
def test_every_topic_is_told(topic: str) -> None:
    """Each topic has a name and some lines, none of them too long."""
    lines = said(topic).splitlines()
    assert len(lines) > 2 and topic in lines[0]
    assert max(map(len, lines)) <= 125


def test_what_topics_say() -> None:
    """A command its options; a job its fields with defaults; a class its methods; a table columns, units, meanings."""
    assert "--retry-failed" in said("run") and "Args:" in said("run")
    assert "kind: swa" in said("SWA") and "cycle_epochs       1         epochs a cycle" in said("swa")
    assert "update" in said("Average")
    assert "time of the epoch's training [s]" in said("epochs")
    assert {"to_polars", "sql"} <= {*said("results").split()}


def test_words_of_files_are_topics_too() -> None:
    """What a file calls a kind finds the name in Python, with underscores or where the two differ."""
    assert said("plateau_linear").startswith("raysurf.PlateauLinear (kind: plateau_linear)")
    assert said("from_means").startswith("raysurf.SigmaFromMeans (kind: from_means)")
