"""Code that a sweep file names: found beside it, imported and not called, judged, its errors told in one line."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import raysurf as rs
from raysurf import own_code
from raysurf.errors import SpecError
from raysurf.models import registry
from raysurf.results import error_text
from raysurf.sweep.document import load
from tests.support.command import raysurf

NET = """
from torch import nn
from {name}_parts import hidden

def net(num_classes, image_shape, width=hidden):
    channels, height, across = image_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * across, width), nn.Linear(width, num_classes))

def of_width(width):
    raise AssertionError("it is not called")

def of_depth(num_classes, image_shape, *, depth):
    raise AssertionError("it is not called")

def a_dict(num_classes, image_shape):
    return {{}}

a_network = nn.Linear(2, 2)

class Bare(nn.Module):
    pass
"""
JOB = "{{kind: sgd, model: {model}, data: {{name: digits, share: 0.3}}, epochs: 1, lr: 0.1, batch_size: 32}}\n"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules and a sweep file that names a model into a folder that is not the working folder."""
    before = set(sys.modules)
    (tmp_path / "work").mkdir()
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(own_code, "_folders", [])

    def written(model: str, **modules: str) -> Path:
        for name, text in modules.items():
            (tmp_path / "study" / f"{name}.py").write_text(text)
        file = tmp_path / "study" / "first.yaml"
        file.write_text(JOB.format(model=model))
        return file

    yield written
    for module in set(sys.modules) - before:
        if module.startswith("oc_"):
            del sys.modules[module]


def test_modules_beside_the_file_are_found(write: Write, tmp_path: Path) -> None:
    """check, run and load find a module beside the sweep file from any folder; check says what it imports."""
    file = write("{name: 'oc_found:net', options: {width: 4}}", oc_found=NET.format(name="oc_found"))
    (file.parent / "oc_found_parts.py").write_text("hidden = 3\n")
    done = raysurf(f"check {file} --results {tmp_path}/results")
    assert f"imports   oc_found:net (code of yours: {file.parent}/oc_found.py, oc_found_parts)" in done.out
    finished = rs.run(load(file), results=str(tmp_path / "results"), executor="inline")
    assert finished.failed == 0
    own = (tmp_path / "work" / "oc_here.py", tmp_path / "study" / "oc_here.py")
    for path in own:
        path.write_text("")
    assert own_code.find("oc_here:net") == own[0]


@pytest.mark.parametrize(
    ("model", "got", "expected"),
    [
        ("'oc_a:of_width'", "'oc_a:of_width', which takes no num_classes, image_shape", "can be called with"),
        ("'oc_a:Bare'", "'oc_a:Bare', which takes no num_classes, image_shape", "can be called with"),
        ("'oc_a:of_depth'", "'oc_a:of_depth' without depth", "options: with depth"),
        ("'oc_a:a_network'", "'oc_a:a_network', a network", "a function that makes one"),
        ("'oc_a:hidden'", "'oc_a:hidden', which is no function", "package.module:function"),
        ("'oc_a:other'", "'oc_a:other', and oc_a has no other", "that exists, in {folder}/oc_a.py"),
        ("'random:net'", "'random:net', and random has no net", f"that exists, in {random.__file__}"),
        ("{name: 'oc_a:net', options: {widht: 4}}", "options widht", "options of oc_a:net: width"),
        ("{name: 'oc_a:net', options: {num_classes: 4}}", "options num_classes", "others: raysurf gives these"),
        ("{name: digits_conv, options: {widht: 4}}", "options widht", "options of digits_conv: width"),
        ("'oc_nowhere:net'", "'oc_nowhere:net', and there is no module oc_nowhere", "a module that is installed"),
        ("'unittest.__main__:main'", "'unittest.__main__:main', a module that is a program", "can be imported"),
        *(
            (f"'{name}'", repr(name), "package.module:function")
            for name in (".a:b", "a..b:c", "a:", ":b", "a:b:c", "1:b")
        ),
    ],
)
def test_what_does_not_fit_is_told(write: Write, model: str, got: str, expected: str) -> None:
    """A function that cannot be called as networks are, and a name that is none, are faults with their line."""
    file = write(model, oc_a=NET.format(name="oc_a"), oc_a_parts="hidden = 3\n")
    with pytest.raises(SpecError) as caught:
        load(file)
    (fault,) = caught.value.faults
    assert (fault.got, fault.file, fault.line) == (got, str(file), 1)
    assert expected.replace("{folder}", str(file.parent)) in fault.expected
    assert "got got" not in str(fault)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys\nsys.exit(0)\n", "oc_b.py:2: SystemExit: 0"),
        ("x = 1\ndef f(:\n", "oc_b.py:2: SyntaxError: invalid syntax"),
        ("\n\n1 / 0\n", "oc_b.py:3: ZeroDivisionError: division by zero"),
        ("import json\njson.loads('')\n", "oc_b.py:2: JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        ("import oc_nothing\n", "oc_b.py:1: ModuleNotFoundError: No module named 'oc_nothing'"),
        ("class Own(Exception):\n def __str__(s): int('x')\nraise Own\n", "oc_b.py:3: Own: <its text cannot be had>"),
        ("x = '\0'\n", "SyntaxError: source code string cannot contain null bytes"),
        (f"x = {'-' * 100_000}1\n", "MemoryError"),
        ("class Own(BaseException): pass\nraise Own('no')\n", "oc_b.py:2: Own: no"),
    ],
)
def test_imports_that_fail_are_told_with_their_line(write: Write, text: str, message: str) -> None:
    """However an import ends, it is one fault, with the line of the module; without an import it is none."""
    file = write("'oc_b:net'", oc_b=text)
    with pytest.raises(SpecError) as caught:
        load(file)
    place = f"{file.parent}/" if message.startswith("oc_b") else ""
    assert [fault.got for fault in caught.value.faults] == [f"'oc_b:net', whose import fails: {place}{message}"]
    with own_code.no_imports():
        assert load(file)
    assert "oc_b" not in sys.modules


def test_nothing_is_imported_where_that_is_asked(write: Write, tmp_path: Path) -> None:
    """``check --no-import`` judges the rest: the module is found, not run, and other faults are told."""
    file = write("'oc_c:net'", oc_c="raise AssertionError('it is not imported')\n")
    done = raysurf(f"check {file} --no-import")
    assert f"oc_c:net (code of yours, not imported now: {file.parent}/oc_c.py)" in done.out
    with own_code.no_imports(), pytest.raises(SpecError, match="there is no module oc_d"):
        load(write("'oc_d:net'"))
    with own_code.no_imports(), pytest.raises(SpecError, match="a module that is a program"):
        load(write("'oc_c.__main__:net'"))


def test_what_gives_no_network_is_told(write: Write) -> None:
    """A function whose answer is no module is an error of the user's, told when it is called."""
    load(write("'oc_e:a_dict'", oc_e=NET.format(name="oc_e"), oc_e_parts="hidden = 3\n"))
    with pytest.raises(SpecError, match=r"oc_e:a_dict.*gives dict; expected a function"):
        registry.build("oc_e:a_dict", num_classes=3, image_shape=(1, 2, 2))


def test_source_text_is_that_of_own_modules(write: Write) -> None:
    """The digest follows the named module and those of the user's own that it imports, found without an import."""
    file = write("'oc_f:net'", oc_f=NET.format(name="oc_f"), oc_f_parts="hidden = 3\n", oc_other="")
    own_code.look_in(file.parent)
    first = own_code.digest("oc_f:net")
    assert list(own_code.sources("oc_f:net")) == ["oc_f", "oc_f_parts"]
    write("'oc_f:net'", oc_other="changed = True\n")
    assert own_code.digest("oc_f:net") == first
    write("'oc_f:net'", oc_f_parts="hidden = 4\n")
    assert own_code.digest("oc_f:net") not in (first, None)
    assert own_code.digest("oc_nowhere:net") is None
    assert "oc_f" not in sys.modules


def test_packages_are_followed_through_relative_imports(write: Write) -> None:
    """Relative imports, packages' own files and modules taken from a package are part of what is named."""
    folder = write("digits_conv").parent / "oc_pkg"
    (folder / "inner").mkdir(parents=True)
    modules = {name: "" for name in ("__init__", "named", "wide", "unused", "inner/__init__")}
    modules["net"] = "from . import wide\nfrom .inner.deep import x\nimport os, torch\nos.x(__import__('oc_pkg.named'))"
    modules["inner/deep"] = "from ..wide import x"
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    own_code.look_in(folder.parent)
    parts = ("", ".inner", ".inner.deep", ".named", ".net", ".wide")
    assert list(own_code.sources("oc_pkg.net:net")) == [f"oc_pkg{name}" for name in parts]


LEAVING = """
class Silent(Exception):
    def __str__(self):
        raise ValueError("its text cannot be had")

def leaves(num_classes, image_shape):
    import argparse
    argparse.ArgumentParser().exit(0)

def silent(num_classes, image_shape):
    raise Silent

def of_a_file(num_classes, image_shape):
    raise RuntimeError("bytes in a name: \\udcff")
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [("leaves", "RuntimeError: it calls sys.exit(0)"), ("silent", "Silent: <"), ("of_a_file", "name: \\udcff")],
)
def test_function_that_ends_the_process_is_a_failed_trial(
    write: Write, tmp_path: Path, name: str, message: str
) -> None:
    """``sys.exit`` within a run, and an error whose text cannot be had, fail their trial, as an error of the user's."""
    file = write(f"'oc_g:{name}'", oc_g=LEAVING)
    finished = rs.run(load(file), results=str(tmp_path / "results"), executor="inline")
    assert finished.failed == 1
    (row,) = rs.results.open(str(tmp_path / "results")).table("runs").to_pylist()
    assert message in row["error"]
    assert row["error_kind"] == error_text.read(row["error"]).kind == "user_code"
    again = raysurf(f"check {file} --results {tmp_path}/results")
    assert "1 of sgd, 1 failed before\n" in again.out
    assert again.out.endswith("what is left failed before; --retry-failed tries again\n")
