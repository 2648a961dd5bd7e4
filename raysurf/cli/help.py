"""``raysurf help``: commands, words of sweep files, Python names, and columns of tables."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from raysurf import plugs
from raysurf.cli.output import echo
from raysurf.models.registry import GIVEN

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

WIDTH = 110
REQUIRED = "required"
# Headings of public names by module; the first that fits counts.
GROUPS = {
    "raysurf.jobs.initial": "Noise",
    "raysurf.jobs": "Jobs",
    "raysurf.training.schedules": "Schedules",
    "raysurf.training.objectives.spec": "Objectives",
    "raysurf.stochastic": "Noise",
    "raysurf.models": "Networks and data",
    "raysurf.data": "Networks and data",
    "raysurf.sweep": "Searches",
}
OTHERS = "Python"
# Headings of groups of plugs; networks, data and samplers have no Python names.
TITLES = {
    "jobs": "Jobs",
    "places": "Jobs",
    "schedules": "Schedules",
    "objectives": "Objectives",
    "noise": "Noise",
    "initial": "Noise",
    "models": "Networks and data",
    "data": "Networks and data",
    "samplers": "Searches",
}
NAMELESS = ("models", "data", "samplers")


@click.command("help")
@click.argument("topic", required=False)
def help_on(topic: str | None) -> None:
    """Show help on TOPIC: a command, a Python name such as SWA, a word of sweep files such as vgg16, or a table."""
    group = click.get_current_context().find_root().command
    commands = group.commands if isinstance(group, click.Group) else {}
    echo("\n".join(_topics(commands) if topic is None else _help_on_topic(topic, commands)))


def _topics(commands: Mapping[str, click.Command]) -> Iterator[str]:
    """Every topic, by kind."""
    from raysurf import HOMES
    from raysurf.store.schemas import SCHEMAS

    yield "raysurf help TOPIC, where TOPIC is one of:\n"
    yield "Commands"
    wide = max(map(len, commands))
    for name, command in commands.items():
        yield f"  {name:<{wide}}  {command.get_short_help_str(WIDTH - wide - 4)}"
    names: dict[str, list[str]] = {}
    for home, those in HOMES.items():
        names.setdefault(title_of(home), []).extend(those)
    for group, title in TITLES.items():
        own = plugs.GROUPS[group].own if group in NAMELESS else ()
        names[title] += [*own, *(name for name, _ in plugs.of_others(group))]
    names.setdefault(OTHERS, []).append("results")
    for title, listed in (names | {"Tables": list(SCHEMAS)}).items():
        yield f"\n{title}"
        yield textwrap.fill(", ".join(listed), WIDTH, initial_indent="  ", subsequent_indent="  ")


def _help_on_topic(topic: str, commands: Mapping[str, click.Command]) -> Iterator[str]:
    """Help on everything of this name, ignoring case and underscores.

    Raises:
        UnknownNameError: If there is nothing.
    """
    import raysurf
    from raysurf.errors import UnknownNameError
    from raysurf.store.schemas import SCHEMAS

    wanted = _plain(topic)
    names = [name for name in raysurf.__all__ if _plain(name) == wanted]
    known = {_plain(name): name for name in (*SCHEMAS, *raysurf.__all__, *commands)}
    is_known = wanted in known
    # Words of sweep files that are no Python names, such as from_means.
    words = [] if is_known else [group for group in plugs.GROUPS if plugs.has(group, topic)]
    if not is_known and not words:
        every = {_plain(name): name for group in plugs.GROUPS for name in plugs.names(group)} | known
        raise UnknownNameError("topic", topic, sorted(every.values()))
    parts: list[Iterator[str]] = []
    if wanted in commands:
        parts.append(_on_command(commands[wanted], wanted))
    parts += [_on_name(f"raysurf.{name}", getattr(raysurf, name)) for name in names]
    parts += [_on_plug(group, topic) for group in words]
    parts += [_on_table(name) for name in SCHEMAS if _plain(name) == wanted]
    for number, part in enumerate(parts):
        yield from [""] if number else []
        yield from part


def title_of(home: str) -> str:
    """The heading of a module's public names."""
    return next((title for module, title in GROUPS.items() if f"{home}.".startswith(f"{module}.")), OTHERS)


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def _on_command(command: click.Command, name: str) -> Iterator[str]:
    yield command.get_help(click.Context(command, info_name=f"raysurf {name}", max_content_width=WIDTH))


def _on_name(name: str, value: Any) -> Iterator[str]:
    """A public name: its docstring, and its fields or methods."""
    from pydantic import BaseModel

    is_model = isinstance(value, type) and issubclass(value, BaseModel)
    kind = getattr(value, "kind", "") if is_model else ""
    called = f" (kind: {kind})" if kind else "" if is_model or inspect.ismodule(value) else _call(value)
    yield from _about(name + called, value)
    if is_model:
        yield from _fields(value)
    elif inspect.ismodule(value):
        yield from _methods(value.Results, "Methods of Results, which raysurf.results.open(uri) returns")
    elif isinstance(value, type):
        yield from _methods(value, "Methods")


def _on_plug(group: str, name: str) -> Iterator[str]:
    """A word of sweep files: its docstring, and its fields or options."""
    import raysurf
    from raysurf.data.source import Source

    value = plugs.find(group, name)
    if isinstance(value, Source):
        yield from _about(f"{name} ({group})", plugs.attribute(value.reader))
    elif inspect.isclass(value):
        is_public = value is getattr(raysurf, value.__name__, None)
        yield from _on_name(f"{'raysurf' if is_public else value.__module__}.{value.__name__}", value)
    else:
        yield from _about(f"{name} ({group})", value)
        if options := options_of(value):
            yield "\n  Options"
            lines = [(name, "", default if default == REQUIRED else f"default {default}") for name, default in options]
            yield from _columns(lines)


def options_of(builder: Callable[..., Any]) -> list[tuple[str, str]]:
    """The options of a network or data set in a sweep file: names and defaults."""
    taken = [p for p in inspect.signature(builder).parameters.values() if p.name not in GIVEN]
    return [(p.name, REQUIRED if p.default is p.empty else str(p.default)) for p in taken]


def _about(name: str, value: Any) -> Iterator[str]:
    yield from (name, "", textwrap.indent(inspect.cleandoc(value.__doc__ or ""), "  "))


def _call(value: Callable[..., Any]) -> str:
    """The parameters of a callable; none for exceptions, which are only caught."""
    if isinstance(value, type) and issubclass(value, Exception):
        return ""
    return f"({', '.join(inspect.signature(value).parameters)})"


def _fields(model: type[BaseModel]) -> Iterator[str]:
    """The fields of a value: names, defaults and descriptions."""
    lines = [
        (name, _shortened(default_of(field)), field.description or "") for name, field in model.model_fields.items()
    ]
    if lines:
        yield "\n  Fields"
        yield from _columns(lines)


def default_of(field: FieldInfo) -> str:
    """The default of a field as text; empty for None."""
    value = REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
    return "" if value is None else str(value)


def _shortened(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:23]}…"


def _methods(owner: type, title: str) -> Iterator[str]:
    ours = [cls for cls in reversed(owner.__mro__) if cls.__module__.startswith("raysurf")]
    members = {name: value for cls in ours for name, value in vars(cls).items()}
    lines = [
        (name, "", inspect.cleandoc(value.__doc__).split("\n")[0])
        for name, value in members.items()
        if not name.startswith("_") and getattr(value, "__doc__", None) and not isinstance(value, type)
    ]
    if lines:
        yield f"\n  {title}"
        yield from _columns(lines)


def _on_table(name: str) -> Iterator[str]:
    """The columns of a table, from its schema."""
    from raysurf.store.schemas import schema_of

    yield f"The table {name} (raysurf table {name})"
    yield ""
    lines = []
    for field in schema_of(name):
        metadata = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
        unit = f" [{metadata['unit']}]" if "unit" in metadata else ""
        empty = "; may be empty" if field.nullable else ""
        lines.append((field.name, str(field.type), f"{metadata.get('meaning', '')}{unit}{empty}"))
    yield from _columns(lines)


def _columns(lines: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Three columns; the last one is wrapped."""
    wide = [max(len(line[place]) for line in lines) for place in (0, 1)]
    for name, middle, text in lines:
        head = f"    {name:<{wide[0]}}  {middle:<{wide[1]}}  " if wide[1] else f"    {name:<{wide[0]}}  "
        yield textwrap.fill(text or " ", WIDTH, initial_indent=head, subsequent_indent=" " * len(head)).rstrip()
