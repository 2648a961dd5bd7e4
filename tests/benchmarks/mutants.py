"""Share of mutated lines that the tests catch: ``python -m tests.benchmarks.mutants --out FOLDER [--again LIST.json]``.

Picks lines of the numerical rooms at random, changes each in one place, and runs the tests that cover it until one
fails. The mutated module exists only in the process that imports it: no file is touched. FOLDER gets ``coverage.json``
and ``mutants.json``, a list with the verdicts; a second call with the same folder goes on where the first broke off.
``--again`` finds the mutants of such a list in today's tree, wherever their lines are now. An entry of a list with the
key ``equivalent`` (why no test can tell the mutant from the original) does not count.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import accumulate
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pytest
import torch

from tests.benchmarks.mutations import FALLBACK, Mutant, find_again, mutants_of

ROOT = Path(__file__).resolve().parents[2]
ROOMS = [ROOT / "raysurf" / room for room in ("weightspace", "stochastic", "training")]
FILES = sorted(path for room in ROOMS for path in room.rglob("*.py"))
TESTS = ("tests/weightspace", "tests/stochastic", "tests/training", "tests/jobs", "tests/models")
CHOSEN = "not (ray or slow or fault or network or gpu)"
CAUGHT, MISSED = ("failed", "hung", "crashed", "not collected"), ("survived", "not covered")
QUICK_S, GRACE_S, MEMORY_BYTES = 60.0, 60.0, 16 * 2**30
Measured = dict[str, Any]


def main() -> None:
    """Print the share as one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--again", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--tests", nargs="+", default=[name for name in TESTS if (ROOT / name).exists()])
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    everything = [mutant for path in FILES for mutant in mutants_of(path)]
    mutants: Sequence[Mutant | None]
    if options.again:
        records = json.loads(options.again.read_text())
        mutants = find_again(records, everything)
    else:
        mutants = picked = pick(everything, options.lines, random.Random(options.seed))
        records = [mutant.record() for mutant in picked]
    if (file := out / "mutants.json").exists():
        records = json.loads(file.read_text())
    else:
        for record, mutant in zip(records, mutants, strict=True):
            record |= {"found": mutant and mutant.record(), "verdict": None if mutant else "not found", "by": None}
    tests = coverage(out, options.tests)
    # All that quick tests catch first: what is left takes most of the time.
    for stage, pending in enumerate((None, "survived quick tests")):
        runs = []
        for number, (record, mutant) in enumerate(zip(records, mutants, strict=True)):
            if mutant and record["verdict"] == pending:
                quick, slow = covering(mutant, tests)
                if seconds := (quick, slow)[stage]:
                    runs.append(Run(str(number), Session(seconds), {mutant.path: mutant.tree}, mutant))
                else:
                    record["verdict"] = "survived" if quick else "not covered"
        for run, status, measured in run_all(runs, out, options.processes):
            end = "survived quick tests" if status == 0 and stage == 0 else verdict(status)
            records[int(run.name)] |= {"verdict": end, "by": (measured["failed"] or [None])[0]}
            file.write_text(json.dumps(records, indent=1))
    counts = Counter(record["verdict"] for record in records if "equivalent" not in record)
    caught, missed = (sum(counts[name] for name in names) for names in (CAUGHT, MISSED))
    print(json.dumps({"figure": "mutants/caught", "share": round(caught / (caught + missed), 4), **counts}), flush=True)


def pick(mutants: Sequence[Mutant], lines: int, draw: random.Random) -> list[Mutant]:
    """One mutant each of so many lines that are drawn at random."""
    by_line: defaultdict[tuple[Path, int], list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        by_line[mutant.path, mutant.line].append(mutant)
    chosen = (by_line[line] for line in draw.sample(sorted(by_line), lines))
    return [draw.choice([mutant for mutant in among if mutant.kind != FALLBACK] or among) for among in chosen]


def coverage(out: Path, folders: Sequence[str]) -> Measured:
    """What each test reaches and how long it takes; tests that fail without a mutant are left out."""
    if not (file := out / "coverage.json").exists():
        ((_, status, traced),) = run_all([Run("traced", Session(folders=folders), {})], out, 1)
        assert status in (0, 256), f"see {out}/traced.log"
        # In the order and from the kind of modules that mutants are run with.
        trees = {path: ast.parse(path.read_text()) for path in FILES}
        ((_, status, control),) = run_all([Run("control", Session(_quick_first(traced["seconds"])), trees)], out, 1)
        assert status in (0, 256), f"see {out}/control.log"
        for name in {*traced["failed"], *control["failed"]}:
            print(f"fails without a mutant: {name}", file=sys.stderr)
            control["seconds"].pop(name, None)
        file.write_text(json.dumps({"seconds": control["seconds"], "lines": traced["lines"]}))
    return json.loads(file.read_text())  # type: ignore[no-any-return]


def covering(mutant: Mutant, tests: Measured) -> tuple[dict[str, float], dict[str, float]]:
    """Tests that reach a mutant, or all for a line that runs at import, and their times: a minute, the rest."""
    path = str(mutant.path.relative_to(ROOT))
    lines = {name: set(tests["lines"][name].get(path, ())) for name in tests["seconds"]}
    of_file = _quick_first({name: tests["seconds"][name] for name in lines if lines[name]})
    chosen = {name: seconds for name, seconds in of_file.items() if lines[name].intersection(mutant.lines)}
    if mutant.at_import:
        chosen = of_file | _quick_first(tests["seconds"])
    spent = dict(zip(chosen, accumulate(chosen.values()), strict=True))
    quick = {name: seconds for name, seconds in chosen.items() if spent[name] <= QUICK_S}
    return quick or chosen, {name: seconds for name, seconds in chosen.items() if quick and name not in quick}


def verdict(status: int) -> str:
    """What the end of a mutant's process says."""
    if os.WIFSIGNALED(status):
        return "hung" if os.WTERMSIG(status) == signal.SIGALRM else "crashed"
    return {0: "survived", 1: "failed", 2: "not collected", 4: "not collected"}[os.WEXITSTATUS(status)]


class Session:
    """A pytest plugin: chosen tests in a given order, each for a limited time; or all of some folders, traced."""

    def __init__(self, seconds: Mapping[str, float] | None = None, folders: Sequence[str] = ()) -> None:
        self.expected = seconds
        self.paths = folders or sorted({name.partition("::")[0] for name in seconds or ()})
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self._lines: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        self._of_fixture: defaultdict[Any, set[tuple[str, int]]] = defaultdict(set)
        self._reached: set[tuple[str, int]] = set()
        self._files = {str(path) for path in FILES}

    def measured(self) -> Measured:
        """Times, failures and lines, as plain values."""
        lines: dict[str, dict[str, list[int]]] = {}
        for name, reached in self._lines.items():
            of_test = lines.setdefault(name, {})
            for path, line in sorted(reached):
                of_test.setdefault(str(Path(path).relative_to(ROOT)), []).append(line)
        return {"seconds": self.seconds, "failed": self.failed, "lines": lines}

    def pytest_sessionstart(self) -> None:
        # Imported here, since pytest wants to be the first to import its plugins.
        from hypothesis import Phase, settings

        quick = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", derandomize=True, database=None, deadline=None, phases=quick)
        settings.load_profile("mutants")
        if self.expected is None:
            threading.settrace(self._enter)
            sys.settrace(self._enter)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.expected is not None:
            rank = {name: place for place, name in enumerate(self.expected)}
            items[:] = sorted((item for item in items if item.nodeid in rank), key=lambda item: rank[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        signal.setitimer(signal.ITIMER_REAL, GRACE_S + 10 * (self.expected or {}).get(item.nodeid, GRACE_S))
        self._reached = self._lines[item.nodeid]
        began = time.perf_counter()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.perf_counter() - began
            for definitions in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
                self._lines[item.nodeid].update(*(self._of_fixture[fixture] for fixture in definitions))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        outer = self._reached
        if fixturedef.scope != "function":
            self._reached = self._of_fixture[fixturedef]
        try:
            return (yield)
        finally:
            self._reached = outer

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, arg: object) -> Any:
        self._reached.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line


class Run(NamedTuple):
    """A pytest process to be: some modules are imported from trees, of which a mutant may change one."""

    name: str
    session: Session
    trees: Mapping[Path, ast.Module]
    mutant: Mutant | None = None


def run_all(runs: Iterable[Run], out: Path, processes: int) -> Iterator[tuple[Run, int, Measured]]:
    """Fork a pytest process for each, so that torch is imported already: the run, its exit status, its measures."""
    torch.set_num_threads(1)
    waiting, running = list(runs)[::-1], dict[int, Run]()
    while waiting or running:
        if waiting and len(running) < processes:
            run = waiting.pop()
            if not (pid := os.fork()):
                _become(run, out)
            running[pid] = run
            continue
        pid, status = os.wait()
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        run = running.pop(pid)
        shutil.rmtree(out / run.name, ignore_errors=True)
        written = out / f"{run.name}.json"
        yield run, status, json.loads(written.read_text()) if written.exists() else {"failed": []}
        written.unlink(missing_ok=True)


def _become(run: Run, out: Path) -> None:
    """Run pytest in this process, and end it."""
    code = 70
    try:
        os.setsid()
        log = os.open(out / f"{run.name}.log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(ROOT)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        signal.setitimer(signal.ITIMER_REAL, 10 * GRACE_S)
        if run.mutant:
            run.mutant.put(run.mutant.new)
        sys.meta_path.insert(0, _Trees(run.trees))  # type: ignore[arg-type]
        options = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", "-m", CHOSEN]
        options += [f"--basetemp={out / run.name}", *(["-x"] if run.mutant else [])]
        code = pytest.main([*options, *run.session.paths], plugins=[run.session])
        (out / f"{run.name}.json").write_text(json.dumps(run.session.measured()))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Trees:
    """Importer of modules from their syntax trees."""

    def __init__(self, trees: Mapping[Path, ast.Module]) -> None:
        modules = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in trees}
        self.files = {name.removesuffix(".__init__"): path for path, name in modules.items()}
        self.trees = trees

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if not (file := self.files.get(name)):
            return None
        return spec_from_file_location(name, file, loader=_Tree(name, str(file), self.trees[file]))


class _Tree(SourceFileLoader):
    """Loader of a module from its syntax tree."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self.tree = tree

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.tree, self.path, "exec", dont_inherit=True)


def _quick_first(seconds: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(seconds.items(), key=lambda pair: pair[1]))


if __name__ == "__main__":
    main()
