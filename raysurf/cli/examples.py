"""The shipped sweeps: ``raysurf examples``, and their names in place of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from raysurf.cli.output import echo
from raysurf.errors import UnknownNameError

F = TypeVar("F", bound=Callable[..., Any])

INCLUDE = re.compile(r"!include +([^\s,\]}]+)")
# Named in the first line of a shipped sweep, for editors.
SCHEMA = "sweep.schema.json"
# The question at the start of a sweep's first comment.
QUESTION = re.compile(r"\A(?:# yaml-language-server:.*\n)?# Question: ((?:.*\n# )*?.*?\?)")


def folder() -> Path:
    """Folder of the shipped sweeps: inside the package of a wheel, beside it in a clone."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "sweeps"
    return inside if inside.is_dir() else package.parent / "sweeps"


def examples() -> dict[str, Path]:
    """Files of the shipped sweeps by name; recipes, which other files include, are not among them."""
    paths = sorted(folder().rglob("*.yaml"), key=lambda path: (path.parent != folder(), path))
    return {path.stem: path for path in paths if path.parent.name != "recipes"}


def _file_of(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """The path of the shipped sweep of this name, unless a file has it."""
    if value is None or not re.fullmatch(r"\w+", value) or Path(value).exists():
        return value
    return str(examples().get(value, value))


def sweep_file(required: bool = True) -> Callable[[F], F]:
    """The argument FILE: a sweep file, or the name of a shipped one."""
    return click.argument("file", required=required, callback=_file_of)


def question(path: Path) -> str:
    """The question of a shipped sweep, from its first comment."""
    match = QUESTION.match(path.read_text(encoding="utf-8"))
    return match[1].replace("\n# ", " ") if match else ""


@click.command("examples")
@click.argument("name", required=False)
@click.option("--to", "target", default="sweeps", show_default=True, help="Folder to copy to.")
def list_examples(name: str | None, target: str) -> None:
    """List the shipped sweeps, or copy NAME with the files that it includes and their JSON schema.

    `run`, `check` and `submit` accept these names in place of a file: raysurf run quickstart.
    """
    known = examples()
    if name is None:
        echo("\n".join(_listed(known)))
        return
    if name not in known:
        raise UnknownNameError("example", name, known)
    copies = {path: Path(target) / path.relative_to(folder()) for path in sorted(_with_includes(known[name]))}
    for source, copy in copies.items():
        if copy.exists() and copy.read_bytes() != source.read_bytes():
            raise click.UsageError(f"{copy} exists and differs; choose another folder by --to. Nothing was copied")
    for source, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
        echo(copy)
    (Path(target) / SCHEMA).write_text(schema_text(), encoding="utf-8")
    echo(Path(target) / SCHEMA)


def schema_text() -> str:
    """The JSON schema of sweep files as text."""
    import json

    from raysurf.sweep.json_schema import json_schema

    return f"{json.dumps(json_schema(), indent=1)}\n"


@click.command("schema")
def print_schema() -> None:
    """Print the JSON schema of sweep files, for completion and checks in editors."""
    echo(schema_text(), nl=False)


def _listed(known: dict[str, Path]) -> Iterator[str]:
    width = max(map(len, known))
    group = None
    for name, path in known.items():
        if path.parent.name != group:
            group = path.parent.name
            yield from ([""] if group != folder().name else []) + [f"{path.parent.relative_to(folder().parent)}/"]
        yield f"  {name:<{width}}  {question(path)}"


def _with_includes(path: Path) -> set[Path]:
    """A sweep file, the files that it includes, and those that they include."""
    paths = {path}
    for match in INCLUDE.finditer(path.read_text(encoding="utf-8")):
        paths |= _with_includes((path.parent / match[1]).resolve())
    return paths
