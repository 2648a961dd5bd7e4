"""User code named as ``package.module:function``: its search path, import and source text.

Modules are searched on Python's own path, then in the working folder, then in the folder of the sweep file: in
``check``, ``run`` and every worker alike. Importing this imports no torch.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import operator
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from raysurf.errors import Fault, SpecError
from raysurf.failure import is_installed, message_of

FORM = "package.module:function"
# Functions that import a module by name; a literal name is recognised.
BY_NAME = ("import_module", "__import__")

_folders: list[str] = []
# With the module's specification, which changes when the module is reloaded.
_digests: dict[str, tuple[ModuleSpec | None, str | None]] = {}
_imports = ContextVar("modules are imported", default=True)


def is_named_in(name: str) -> bool:
    """Whether a name is ``module:function`` rather than a registered one."""
    return ":" in name


def look_in(folder: str | Path) -> None:
    """Add a folder to the search path of modules."""
    if (path := os.path.abspath(folder)) not in _folders:
        _folders.append(path)


def folders() -> tuple[str, ...]:
    """Folders searched for modules besides the working folder and Python's own path."""
    return tuple(_folders)


def places() -> tuple[str, ...]:
    """The search path of modules, in order; under ``no_imports`` Python's own path alone."""
    own = (os.getcwd(), *_folders)
    return tuple(dict.fromkeys((*sys.path, *own) if are_imported() else (path for path in sys.path if path not in own)))


@contextmanager
def no_imports() -> Iterator[None]:
    """Context in which modules are found but not imported."""
    token = _imports.set(False)
    try:
        yield
    finally:
        _imports.reset(token)


def are_imported() -> bool:
    """Whether modules may be imported here; see ``no_imports``."""
    return _imports.get()


def find(name: str, what: str = "model") -> Path | None:
    """Find a named module's file; runs none of its code.

    Args:
        name: ``package.module:function``.
        what: What it is a name of, for errors.

    Returns:
        The file; None for a module without one.

    Raises:
        SpecError: If the name has another form, or there is no such module.
    """
    module, _ = _parts(name, what)
    if (spec := _spec_of(module)) is None:
        raise _absent(name, module, what)
    return Path(spec.origin) if spec.has_location and spec.origin else None


def imported(name: str, what: str = "model") -> Callable[..., Any]:
    """Import a function by its name; calls nothing.

    Args:
        name: ``package.module:function``.
        what: What it is a name of, for errors.

    Raises:
        SpecError: If the name has another form, there is no such module or function, or the import fails, in whatever
            way; the message has the file and line.
    """
    module, attribute = _parts(name, what)
    spec, source = _digests.get(name, (None, None))
    if spec is None or spec is not getattr(sys.modules.get(module), "__spec__", None):
        source = digest(name)
    _search()
    try:
        _digests[name] = (importlib.import_module(module).__spec__, source)
        value = operator.attrgetter(attribute)(sys.modules[module])
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise _absent(name, module, what) from error
        if isinstance(error, AttributeError) and module in sys.modules:
            place = getattr(sys.modules[module], "__file__", None)
            expected = f"{FORM} that exists{f', in {place}' if place else ''}"
            raise _fault(what, f"{name!r}, and {module} has no {attribute}", expected) from error
        raise _fault(
            what, f"{name!r}, whose import fails: {_import_error(error)}", f"{FORM} that can be imported"
        ) from error
    if not callable(value):
        raise _fault(what, f"{name!r}, which is no function", FORM)
    function: Callable[..., Any] = value
    return function


@contextmanager
def without_exit() -> Iterator[None]:
    """Turn ``sys.exit`` in the user's code into an error at that line."""
    try:
        yield
    except SystemExit as error:
        if f"{os.sep}ray{os.sep}" in traceback.extract_tb(error.__traceback__)[-1].filename:
            raise  # Ray leaves so when a signal ends its process.
        raise RuntimeError(f"it calls sys.exit({error.code!r})").with_traceback(error.__traceback__) from None


def sources(name: str) -> dict[str, Path]:
    """Source files by module: the named module's and those of the user's modules that it imports.

    Args:
        name: ``package.module:function``; nothing is imported.

    Returns:
        Modules in order of their names; none if the module is not found here, or has no source file.
    """
    files: dict[str, Path] = {}
    try:
        left = [_parts(name)[0]]
    except SpecError:
        return {}
    named = left[0]
    while left:
        module = left.pop()
        top = module.partition(".")[0]
        if module in files or (module != named and (top in sys.stdlib_module_names or top == "raysurf")):
            continue
        spec = _spec_of(module)
        if spec is None or not spec.has_location or not str(spec.origin).endswith(".py"):
            continue
        path = Path(str(spec.origin))
        if module != named and is_installed(path):
            continue
        files[module] = path
        if "." in module:
            left.append(module.rpartition(".")[0])
        left += _imports_of(path, module if spec.submodule_search_locations else module.rpartition(".")[0])
    return dict(sorted(files.items()))


def digest_of_imported(name: str | None) -> str | None:
    """The ``digest`` of the code that this process imported."""
    return None if name is None else _digests.get(name, (None, None))[1]


def digest(name: str) -> str | None:
    """A hash of the source text that ``sources`` finds now, 16 hex digits; None if there is none."""
    files = sources(name)
    whole = hashlib.sha256()
    for module, path in files.items():
        try:
            whole.update(f"{module}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        except OSError:
            return None
    return whole.hexdigest()[:16] if files else None


def _parts(name: str, what: str = "model") -> tuple[str, str]:
    """Module and function of a name."""
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise _fault(what, repr(name), FORM)
    if "__main__" in module.split("."):
        raise _fault(what, f"{name!r}, a module that is a program", f"{FORM} of a module that can be imported")
    return module, attribute


def _search() -> None:
    """Have Python look in our folders as well, last."""
    sys.path += [path for path in (os.getcwd(), *_folders) if path not in sys.path]
    importlib.invalidate_caches()


def _spec_of(module: str) -> ModuleSpec | None:
    """Find a module; packages on the way are not imported, as ``find_spec`` would."""
    _search()
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", list(spec.submodule_search_locations))
    return spec


def _imports_of(path: Path, package: str) -> Iterable[str]:
    """Names of modules that a file may import; a name taken from a module may be a module too."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            if module:
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in BY_NAME:
            named = (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))
            yield from (name for name in named if isinstance(name, str) and not name.startswith("."))


def _import_error(error: BaseException) -> str:
    """What an import failed with, and at which line of whose file."""
    text = f"{type(error).__name__}: {message_of(error)}".removesuffix(": ")
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    calls = traceback.extract_tb(error.__traceback__)
    ours = (__file__, importlib.__file__)
    frames = [frame for frame in calls if not frame.filename.startswith("<") and frame.filename not in ours]
    theirs = [frame for frame in frames if not is_installed(Path(frame.filename))] or frames
    return f"{theirs[-1].filename}:{theirs[-1].lineno}: {text}" if theirs else text


def _absent(name: str, module: str, what: str) -> SpecError:
    where = ", ".join(dict.fromkeys((os.getcwd(), *_folders)))
    return _fault(what, f"{name!r}, and there is no module {module}", f"a module that is installed, or lies in {where}")


def _fault(what: str, got: str, expected: str) -> SpecError:
    return SpecError([Fault(what, got, expected)])
