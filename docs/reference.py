"""The reference, written from what it describes whenever the pages are built: a line ``% generated: NAME`` of a page
in ``reference/`` stands for the text that ``NAME`` of ``GENERATED`` returns.

Commands come from click, fields from the models that check files, columns from the schemas of the tables, and Python's
names from their docstrings. What has no example in ``reference/examples/``, or no docstring, stops the build.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import raysurf
from raysurf import errors, plugs
from raysurf.cli.help import OTHERS, REQUIRED, default_of, options_of, title_of
from raysurf.cli.main import cli
from raysurf.data.source import Source
from raysurf.data.spec import DataSpec
from raysurf.jobs.path import Cycle
from raysurf.jobs.training_job import TrainingJob
from raysurf.models.spec import ModelSpec
from raysurf.store.schemas import SCHEMAS, schema_of
from raysurf.sweep.search import Budget, Search, Stopping
from raysurf.sweep.sweep import Failures, Resources
from raysurf.values import Value, json_schemas

EXAMPLES = Path(__file__).parent / "reference" / "examples"
MARK = re.compile(r"^% generated: (\w+)$", re.MULTILINE)
# Where plugs and values of files are described, and what they are called in the column of types.
PAGES = {
    "jobs": ("jobs", "job"),
    "places": ("jobs", "place"),
    "schedules": ("schedules", "schedule"),
    "objectives": ("objectives", "objective"),
    "noise": ("noise", "noise"),
    "initial": ("noise", "initial deviation"),
    "samplers": ("sweep-file", "sampler"),
}
VALUES: dict[type[Value], str] = {
    Search: "search",
    Stopping: "stopping",
    Budget: "budget",
    Resources: "resources",
    Failures: "failures",
    ModelSpec: "model",
    DataSpec: "data",
    Cycle: "cycle",
}
TYPES = {"integer": "integer", "number": "number", "string": "string", "boolean": "true, false", "object": "mapping"}
TO_DO = "To do:"
# Exceptions that others are kinds of.
ROOTS = (errors.RaysurfError, errors.Refusal, errors.NamedRefusal, errors.LeftOutWarning)
GENERAL = "Running, averaging, catching"
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def md(text: str) -> str:
    """A docstring's or description's text as Markdown: what is code stays code, and all else means itself."""
    parts = re.split(r"(``.+?``|`.+?`)", text)
    plain = [
        re.sub(r"([*_<>\[\]|$\\~#])", r"\\\1", part) if place % 2 == 0 else part for place, part in enumerate(parts)
    ]
    linked = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", "".join(plain))
    return re.sub(r"doi:(10\.\d{4,}/[\w.()/-]*[\w/])", r"[doi:\1](https://doi.org/\1)", linked)


def code(text: str) -> str:
    """A value as code; nothing stays nothing, and ``required`` is a word."""
    text = {"True": "true", "False": "false"}.get(text, text)
    return text if text in ("", REQUIRED) else f"`{text}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, or nothing if it has no row."""
    lines = [" | ".join(re.sub(r"(?<!\\)\|", r"\|", cell.replace("\n", " ")) for cell in row) for row in rows]
    return (
        "\n".join(f"| {line} |" for line in [" | ".join(head), "|".join(["---"] * len(head)), *lines]) if lines else ""
    )


def about(value: Any) -> str:
    """The docstring of something, with sections such as ``Source:`` as paragraphs."""
    text = inspect.cleandoc(value.__doc__ or "")
    if not text:
        raise ValueError(f"{value} has no docstring")
    section = re.compile(r"^(\w+):\n((?:[ ]+.*\n?|\n)+)", re.MULTILINE)
    paragraphs = [md(part) for part in section.sub("", text).strip().split("\n\n")]
    paragraphs += [
        f"*{name}:* {md(inspect.cleandoc(body))}" for name, body in section.findall(text) if name == "Source"
    ]
    return "\n\n".join(paragraphs)


def label(group: str, name: str) -> str:
    """The target of a section on a plug or a value."""
    return f"{group}-{name}".replace("_", "-").lower()


@functools.cache
def targets() -> Mapping[str, tuple[str, str, str]]:
    """By the name of a class its group, the word that stands for it, and its target."""
    named = {plug.__name__: (group, name, label(group, name)) for group in PAGES for name, plug in plugs.every(group)}
    return named | {cls.__name__: ("values", word, label("values", word)) for cls, word in VALUES.items()}


def type_in(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in words, kinds as links; null is left out, being what a field is that is not given."""
    return ", or ".join(sorted(dict.fromkeys(_types_in(schema)), key=lambda said: said != TYPES["string"]))


def _types_in(schema: Mapping[str, Any]) -> Iterator[str]:
    if "anyOf" in schema:
        inner = [part for part in schema["anyOf"] if part.get("type") != "null"]
        references = [part["$ref"].rpartition("/")[2] for part in inner if "$ref" in part]
        yield from _kinds(references)
        for part in inner:
            if "$ref" not in part:
                yield from _types_in(part)
    elif "allOf" in schema:
        yield from _kinds([kind["then"]["$ref"].rpartition("/")[2] for kind in schema["allOf"]])
    elif "$ref" in schema:
        yield from _kinds([schema["$ref"].rpartition("/")[2]])
    elif "enum" in schema:
        yield ", ".join(f"`{value}`" for value in schema["enum"])
    elif "const" in schema:
        yield f"`{schema['const']}`"
    elif schema.get("type") == "array":
        inner = [type_in(part) for part in schema.get("prefixItems", [])]
        yield f"\\[{', '.join(inner)}\\]" if inner else f"list of {type_in(schema.get('items', {}))}"
    else:
        bounds = " and ".join(f"{sign} {schema[name]:g}" for name, sign in BOUNDS.items() if name in schema)
        yield f"{TYPES[schema['type']]} {bounds}".strip() if "type" in schema else "anything"


def _kinds(classes: Sequence[str]) -> Iterator[str]:
    """Links to classes; those that are a whole group of plugs are one."""
    by_group: dict[str, list[str]] = {}
    for name in classes:
        by_group.setdefault(targets()[name][0], []).append(name)
    for group, names in by_group.items():
        if group in PAGES and len(names) == len(plugs.names(group)):
            page, called = PAGES[group]
            yield f"[{called}]({page}.md)"
        else:
            yield ", ".join(f"[{word}](#{target})" for _, word, target in (targets()[name] for name in names))


def fields(cls: type[Value], left_out: Iterable[str] = ()) -> str:
    """A table of the fields of a value: name, meaning, type, default."""
    (own,), definitions = json_schemas(cls)
    properties = (definitions[own["$ref"].rpartition("/")[2]] if "$ref" in own else own)["properties"]
    rows = []
    for name, field in cls.model_fields.items():
        if name not in left_out:
            meaning = md(field.description or "")
            rows.append((f"`{name}`", meaning, type_in(properties[name]), code(default_of(field))))
    return table(("field", "meaning", "type", "default"), rows)


def examples(group: str) -> dict[str, str]:
    """The examples of a group by name: the documents of its file, each of which begins with ``# NAME``."""
    documents = re.split(r"^---\n", (EXAMPLES / f"{group}.yaml").read_text(), flags=re.MULTILINE)
    return {name: text for name, _, text in (document.removeprefix("# ").partition("\n") for document in documents)}


def example(group: str, name: str) -> str:
    """The example of a plug, as a block of YAML."""
    known = examples(group)
    if name not in known:
        raise ValueError(f"reference/examples/{group}.yaml has no document that begins with '# {name}'")
    return f"```yaml\n{known[name]}```"


def section(group: str, name: str, *parts: str, level: int = 2) -> str:
    """A section on a plug or a value."""
    return "\n\n".join([f"({label(group, name)})=\n{'#' * level} {name}", *(part for part in parts if part)])


def plugs_of(group: str, level: int = 2) -> str:
    """A section for every plug of raysurf's own in a group."""
    named = [(name, plugs.find(group, name)) for name in plugs.GROUPS[group].own]
    return "\n\n".join(
        section(group, name, about(plug), fields(plug), example(group, name), level=level) for name, plug in named
    )


def value(cls: type[Value]) -> str:
    """A section on a value of files that has no kind."""
    return section("values", VALUES[cls], about(cls), fields(cls), level=3)


# --- the pages ---


def commands() -> str:
    """Every command: what it does, how it is called, its arguments and options."""

    def option(param: click.Parameter, context: click.Context) -> tuple[str, str, str]:
        takes = param.make_metavar(context) if not getattr(param, "is_flag", False) else ""
        if isinstance(param.type, click.Choice):
            takes = ", ".join(f"`{choice}`" for choice in param.type.choices)
        default = f" Default: `{param.default}`." if getattr(param, "show_default", False) else ""
        return ", ".join(f"`{name}`" for name in param.opts), md(getattr(param, "help", "") or "") + default, takes

    def text(name: str, command: click.Command) -> str:
        context = click.Context(command, info_name=f"raysurf {name}")
        rows = [option(param, context) for param in command.params if isinstance(param, click.Option)]
        usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
        said = "\n\n".join(md(part) for part in inspect.cleandoc(command.help or "").split("\n\n"))
        options = table(("option", "meaning", "takes"), rows)
        return section("command", name, f"```text\n{usage}\n```", said, options)

    return "\n\n".join(text(name, command) for name, command in cli.commands.items())


def jobs() -> str:
    """Every kind of job; what all that train have in common is a section of its own."""
    shared = TrainingJob.model_fields

    def text(name: str, plug: type[Value]) -> str:
        trains = issubclass(plug, TrainingJob)
        same = [each for each in plug.model_fields if trains and each in shared]
        said = "It has [the fields of every job that trains](#fields-of-every-job-that-trains), and:" if trains else ""
        return section("jobs", name, about(plug), said, fields(plug, same), example("jobs", name))

    return "\n\n".join(text(name, plugs.find("jobs", name)) for name in plugs.GROUPS["jobs"].own)


def training() -> str:
    """The fields that every job that trains has."""
    # An open class has no schema of its own; that of any kind that trains has these fields.
    kind = plugs.find("jobs", "sgd")
    return fields(kind, set(kind.model_fields) - set(TrainingJob.model_fields))


def functions(group: str, called: Mapping[str, Any]) -> str:
    """Networks or data: a line each, with the options that it takes."""
    rows = []
    for name, function in called.items():
        taken = ", ".join(f"`{option}: {default}`" for option, default in options_of(function))
        rows.append((f"`{name}`", md(inspect.cleandoc(function.__doc__ or "").split("\n\n")[0]), taken))
    return table((group, "what it is", "options"), rows)


def models() -> str:
    """Every network of raysurf's own."""
    return functions("network", {name: plugs.find("models", name) for name in plugs.GROUPS["models"].own})


def data() -> str:
    """Every data set of raysurf's own."""
    rows = []
    for name in plugs.GROUPS["data"].own:
        source = plugs.find("data", name)
        assert isinstance(source, Source)
        training, held_out = map(str, source.examples or ("", ""))
        paths = "`train`, `test`" if source.takes_paths else ""
        read = "streamed" if source.is_streamed else "in memory"
        rows.append((f"`{name}`", training, held_out, str(source.channels or ""), read, paths))
    return table(("data", "training examples", "held out of them", "channels", "images", "asks for"), rows)


def tables() -> str:
    """Every table: its columns, their types, units and meanings."""

    def text(name: str) -> str:
        rows = []
        for field in schema_of(name):
            metadata = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
            optional = "yes" if field.nullable else ""
            kind = str(field.type).replace("list<item: ", "list<")
            rows.append((f"`{field.name}`", md(metadata["meaning"]), f"`{kind}`", metadata.get("unit", ""), optional))
        return section("table", name, table(("column", "meaning", "type", "unit", "may be null"), rows))

    return "\n\n".join(map(text, SCHEMAS))


def python() -> str:
    """Every public name of ``raysurf`` with its docstring."""
    by_title: dict[str, list[str]] = {}
    for home, names in raysurf.HOMES.items():
        by_title.setdefault(title_of(home), []).extend(names)
    parts = []
    for title, names in by_title.items():
        parts += [f"## {GENERAL if title == OTHERS else title}", *map(_documented, names)]
    return "\n\n".join(parts)


def _documented(name: str) -> str:
    """What autodoc writes of a public name; fields of a value of files stand on the page of its kind."""
    public = getattr(raysurf, name)
    if not inspect.isclass(public):
        return f"```{{eval-rst}}\n.. autofunction:: raysurf.{name}\n```"
    if not issubclass(public, Value):
        members = "" if issubclass(public, Exception) else "   :members:\n"
        return f"```{{eval-rst}}\n.. autoclass:: raysurf.{name}\n{members}```"
    _, word, target = targets()[name]
    taken = ", ".join(public.model_fields)
    return f"```{{py:class}} raysurf.{name}({taken})\n{about(public)}\n\n[Fields of {word}](#{target})\n```"


def exceptions() -> str:
    """Every exception that is raised: when, and what to do then."""

    def text(cls: type[Exception]) -> str:
        said = about(cls)
        if TO_DO not in said:
            raise ValueError(f"{cls.__name__} does not say what to do ({TO_DO})")
        parents = ", ".join(f"`{parent.__name__}`" for parent in cls.__bases__)
        return section("error", cls.__name__, f"A kind of {parents}.", said.replace(TO_DO, f"**{TO_DO}**"))

    own = [cls for cls in vars(errors).values() if inspect.isclass(cls) and cls.__module__ == errors.__name__]
    return "\n\n".join(text(cls) for cls in own if issubclass(cls, errors.RaysurfError) and cls not in ROOTS)


GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "jobs": jobs,
    "training": training,
    "places": lambda: plugs_of("places", 3),
    "cycle": lambda: value(Cycle),
    "schedules": lambda: plugs_of("schedules"),
    "objectives": lambda: plugs_of("objectives"),
    "noise": lambda: plugs_of("noise"),
    "initial": lambda: plugs_of("initial", 3),
    "samplers": lambda: plugs_of("samplers", 3),
    "sweep_values": lambda: "\n\n".join(map(value, (Search, Stopping, Budget, Resources, Failures))),
    "models": models,
    "model_fields": lambda: f"{about(ModelSpec)}\n\n{fields(ModelSpec)}",
    "data": data,
    "data_fields": lambda: f"{about(DataSpec)}\n\n{fields(DataSpec)}",
    "tables": tables,
    "python": python,
    "exceptions": exceptions,
}


def _write(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = MARK.sub(lambda mark: GENERATED[mark[1]](), source[0])


def _generated(app: Sphinx, env: BuildEnvironment, *_: set[str]) -> list[str]:
    """Pages that change with the code, whether or not their own text does."""
    return [name for name in env.found_docs if MARK.search(Path(env.doc2path(name)).read_text())]


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill in what is generated when a page is read."""
    app.connect("env-get-outdated", _generated)
    app.connect("source-read", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
