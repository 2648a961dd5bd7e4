"""Reading a file: where everything stands, and every bad file told with its file and line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raysurf.errors import SpecError
from raysurf.sweep.space import Choice, Each, Float, Int
from raysurf.sweep.yaml_reader import read


def write(folder: Path, text: str | bytes, name: str = "s.yaml") -> str:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(folder / name)


def errors_in(path: str) -> list[str]:
    """Every fault of a file as the user reads it, the folder left out."""
    with pytest.raises(SpecError, match="expected") as caught:
        read(path)
    folder = str(Path(path).parent) + os.sep
    return [str(fault).replace(folder, "") for fault in caught.value.faults]


def test_tags_are_holes(tmp_path: Path) -> None:
    """Both ways to write a range, both lists of options, and a hole inside an option."""
    text = """a: !float {low: 1e-3, high: 1, log: true}
b: !int [1, 9]
c: !choice [x, {kind: k, lr: !float [0, 1]}]
d: !each [1, true]
---
e: 1
"""
    first, second = read(write(tmp_path, text))
    assert first.tree == {
        "a": Float(1e-3, 1, log=True),
        "b": Int(1, 9),
        "c": Choice(("x", {"kind": "k", "lr": Float(0, 1)})),
        "d": Each((1, True)),
    }
    assert second.tree == {"e": 1}
    assert first.place(("c", 1, "lr"))[1] == 3
    assert second.place(("e",))[1] == 6


@pytest.mark.parametrize("below", [False, True])
def test_places_follow_the_value_that_won(below: bool, tmp_path: Path) -> None:
    """What overrides a merged key has its own places, wherever the merge stands; the rest has the included file's."""
    write(tmp_path, "xs:\n  - 1\n  - 2\nkept: 3\n", "base.yaml")
    parts = ["  <<: !include base.yaml\n", "  xs:\n    - 8\n    - 9\n"]
    path = write(tmp_path, "job:\n" + "".join(parts[::-1] if below else parts))
    (document,) = read(path)
    assert document.tree == {"job": {"xs": [8, 9], "kept": 3}}
    line = 2 if below else 3
    assert [document.place(("job", "xs", *rest)) for rest in ((), (0,), (1,))] == [(path, line + i) for i in range(3)]
    assert document.place(("job", "kept")) == (str(tmp_path / "base.yaml"), 4)
    assert document.place(("job", "kept", "deeper")) == document.place(("job", "kept"))


def test_earlier_merge_wins(tmp_path: Path) -> None:
    """Of several merged mappings the first has the say, in value and in place."""
    path = write(tmp_path, "a: &a {x: 1}\nb: &b\n  x: [2]\n  z: 2\nc: {<<: [*a, *b]}\n")
    (document,) = read(path)
    assert document.tree["c"] == {"x": 1, "z": 2}
    assert document.place(("c", "x")) == (path, 1)
    assert document.place(("c", "x", 0)) == (path, 1)
    assert document.place(("c", "z")) == (path, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n'a': 2\n", ["s.yaml:2: a: got the key 'a' again; expected each key once (it stands in line 1)"]),
        ("a: !float [3, 1]\n", ["s.yaml:1: a: got low 3 above high 1; expected low at most high"]),
        ("a: !each []\n", ["s.yaml:1: a: got an empty choice; expected at least one option"]),
        ("# nothing\n", ["s.yaml:1: document: got an empty file; expected at least one document"]),
        ("a: !int {low: 1, high: 9, step: null}\n", ["s.yaml:1: a: got step None; expected whole numbers, above 0"]),
        ("a: !float {low: '1', high: 9}\n", ["s.yaml:1: a: got low '1', high 9; expected finite numbers"]),
        ("a: !int [1.5, 9]\n", ["s.yaml:1: a: got low 1.5, high 9; expected whole numbers"]),
        ("a: !float {low: 1, high: 2, log: 1}\n", ["s.yaml:1: a: got log 1; expected true or false"]),
        ("a: .nan\nb: !float [0, .inf]\n", ["s.yaml:1: a: got .nan", "s.yaml:2: b.high: got .inf; expected a finite"]),
        ("a: 1e999\n", ["s.yaml:1: a: got 1e999; expected a finite number"]),
        (f"a: {'9' * 5000}\n", ["s.yaml:1: a: got 5000 digits; expected at most 300"]),
        ("a: !!python/object:os.system x\n", ["s.yaml:1: a: got the unknown tag tag:yaml.org,2002:python/object"]),
        ("!float a: 1\n", ["s.yaml:1: document: got a key with a tag, or of several values; expected a key that is"]),
        ("? [a]\n: 1\n", ["s.yaml:1: document: got a key with a tag, or of several values; expected a key that is"]),
        ('a: !include "x\\0y"\n', ["s.yaml:1: a: got !include without a file"]),
        (b"a: 1\nb: \xe9\n", ["s.yaml:2: document: got text that is not UTF-8; expected a YAML file in UTF-8"]),
        ("a: 1\nb: \x01\n", ["s.yaml:2: document: got no YAML: the character '\\x01'; expected YAML"]),
        (f"a: {'[' * 3000}{']' * 3000}\n", ["s.yaml:1: document: got lists or mappings too deep to read"]),
        (
            "lr: !float\n  low: 1\n  lwo: 2\n\n  hihg: 3\n",
            [
                "s.yaml:3: lr.lwo: got an unknown key; expected one of low, high, log, step (did you mean 'low'?)",
                "s.yaml:5: lr.hihg: got an unknown key; expected one of low, high, log, step (did you mean 'high'?)",
                "s.yaml:1: lr: got !float without high; expected low and high",
            ],
        ),
    ],
)
def test_bad_files_are_told_with_file_and_line(text: str | bytes, expected: list[str], tmp_path: Path) -> None:
    """Each mistake is one fault, in the order of the file, that begins with where it stands."""
    messages = errors_in(write(tmp_path, text))
    assert len(messages) == len(expected), messages
    for said, begins in zip(messages, expected, strict=True):
        assert said.startswith(begins)


def test_faults_before_a_syntax_error_are_told_too(tmp_path: Path) -> None:
    """A document that cannot be parsed does not hide the faults of the documents before it."""
    messages = errors_in(write(tmp_path, "a: 1\na: 2\nb: !nope 3\n---\nc: ]\n"))
    assert [said.split(": ")[0] for said in messages] == ["s.yaml:5", "s.yaml:2", "s.yaml:3"]


def test_faults_of_every_merged_mapping_are_told(tmp_path: Path) -> None:
    """A bad mapping under << does not hide the next one's faults, nor the faults beside it."""
    messages = errors_in(write(tmp_path, "a:\n  <<: [1, !include nope.yaml]\n  b: !nope 1\n"))
    assert ["1 under <<" in messages[0], "No such file" in messages[1], "a.b" in messages[2]] == [True] * 3


def test_circles_show_their_chain(tmp_path: Path) -> None:
    """A circle over three files is told in the file that closes it."""
    write(tmp_path, "q: !include y.yaml\n", "x.yaml")
    write(tmp_path, "\nz: !include x.yaml\n", "y.yaml")
    (message,) = errors_in(write(tmp_path, "a: !include x.yaml\n"))
    assert message.startswith("y.yaml:2: a.q.z: got a circle of includes: s.yaml -> x.yaml -> y.yaml -> x.yaml")


@pytest.mark.parametrize(("inner", "count"), [("", 0), ("a: 1\n---\nb: 2\n", 2)])
def test_included_file_is_one_document(inner: str, count: int, tmp_path: Path) -> None:
    """A file of none or of two cannot stand in one place."""
    write(tmp_path, inner, "x.yaml")
    (message,) = errors_in(write(tmp_path, "a: !include x.yaml\n"))
    assert message == f"s.yaml:1: a: got x.yaml with {count} documents; expected a file of one document"


def test_folder_is_no_file(tmp_path: Path) -> None:
    """A place that cannot be read is told with the system's reason."""
    with pytest.raises(SpecError, match="Is a directory; expected a YAML file that can be read"):
        read(tmp_path)
