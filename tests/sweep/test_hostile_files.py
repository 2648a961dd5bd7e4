"""Files that would hang, eat memory or end in a traceback: each is answered, or refused by one clear error."""

from __future__ import annotations

import os
import random
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysurf.errors import RaysurfError, SpecError
from raysurf.sweep.document import load
from raysurf.sweep.plan import make_plan

SWEEPS = Path(__file__).parents[2] / "sweeps"
JOB = "job:\n  kind: sgd\n  model: digits_conv\n  data: digits\n  epochs: 2\n"
SEARCH = "search: {metric: validation/nll, trials: %s}\n"


def numbers(count: int) -> str:
    """So many rates, as a YAML list."""
    return "[" + ", ".join(f"0.{i:05d}" for i in range(1, count + 1)) + "]"


@pytest.fixture
def little_memory() -> Iterator[None]:
    """No more than a gigabyte of address space beyond what this process has taken already."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (JOB + f"  lr: 0.1\nseeds: {list(range(100_000))}\n", "more than 20,000 values"),
        (JOB + f"  lr: !each {numbers(6_000)}\n", "over 5,000 options of all holes"),
        (JOB + "  lr: !each [" + "0.1, " * 6_000 + "]\n", "over 5,000 options of all holes"),
        (JOB + f"  lr: !choice {numbers(6_000)}\n" + SEARCH % 3, "over 5,000 options of all holes"),
        (JOB + f"  lr: !each {numbers(80)}\n  batch_size: !each {list(range(2, 82))}\n", "6,400 settings"),
        (JOB + f"  lr: !each {numbers(100)}\nseeds: {list(range(100))}\n", "100 trials x 100 seeds"),
        (JOB + "  lr: !float [0.1, 1]\n" + SEARCH % 10**9, "search.trials: got 1000000000"),
        (JOB + "  lr: !float [0.1, 1]\n" + SEARCH % "1e300", "search.trials: got 1e+300"),
        (
            JOB + "  lr: !float [0.1, 1]\nsearch: {metric: validation/nll, sampler: pbt, "
            "population: 1000000000, generations: 3}\n",
            "search.population: got 1000000000",
        ),
        (
            JOB + "  lr: !float {low: 0.0001, high: 1, step: 0.0001}\n  batch_size: !int [2, 10001]\n"
            "search: {metric: validation/nll, sampler: grid}\n",
            "100,000,000 trials",
        ),
        (JOB + "  lr: !float {low: 0.1, high: 1, step: 1e-300}\n" + SEARCH % 3, "fewer values than 2"),
        ("---\n".join(f"name: n{i}\n{JOB}  lr: 0.1\n" for i in range(3_000)), "more than 20,000 values"),
        ("a: [" + "a, " * 1_000_000 + "]\n", "which is larger"),
        ("a: [" + "a, " * 100_000 + "]\n", "more than 20,000 values"),
        ("\n".join(f"k{i}: 1" for i in range(50_000)), "more than 20,000 values"),
        (JOB + "  lr: [" + "!include part.yaml, " * 1_000 + "]\n", "more than 20,000 values"),
        ("a: " + "[" * 20_000, "too deep"),
        (JOB.replace("kind: sgd", "kind: [sgd]"), "job.kind: got ['sgd']"),
        ('name: "\\ud800"\n' + JOB + "  lr: 0.1\n", "half a character"),
        ('job: !include "\\ud800.yaml"\n', "!include without a file"),
        (JOB.replace("epochs: 2", "epochs: !float [1, 8]") + "  lr: 0.1\n" + SEARCH % 3, "a valid integer"),
        (JOB + "  lr: 0.1\n  batch_size: !float [8, 64]\n" + SEARCH % 3, "a valid integer"),
        (JOB + "  lr: 0.1\nresources: {gpus: 1.5}\n", "a whole number of GPUs, or a share of one"),
        (JOB + "  lr: 0.1\nresources: {gpus: 0.00001}\n", "a whole number of GPUs, or a share of one"),
        (
            "job: {kind: predict, weights: {kind: sgd, model: digits_conv, data: digits, epochs: 2, "
            "lr: !float [0.01, 0.1]}, schemes: [deterministic]}\n"
            "search: {metric: validation/ensemble_nll, trials: 3}\n",
            "search.metric: got 'validation/ensemble_nll'",
        ),
        (
            "kind: variational\nmodel: lenet5\ndata: digits\nepochs: 3\nlr: 0.1\n"
            "noise: {kind: dropout, layers: '*', p: 0.5}\nkl_warmup: [5]\n",
            "kl_warmup",
        ),
        (
            f"kind: weights\nmodel: lenet5\ndata: {{name: folder, train: {'x' * 300}, test: x}}\nfile: y\n",
            "no such path",
        ),
    ],
    ids=lambda value: None if len(value) > 60 else value,
)
def test_a_file_that_asks_for_too_much_is_refused(text: str, said: str, tmp_path: Path, little_memory: None) -> None:
    """Each is one error, with little memory and without waiting."""
    (tmp_path / "part.yaml").write_text("[" + "1, " * 100 + "]\n")
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "s.yaml")
    assert said in str(caught.value)


def test_a_large_grid_is_counted_and_its_first_trials_are_listed(tmp_path: Path, little_memory: None) -> None:
    """Of a grid of 10^8 with ``trials: 3`` three are made."""
    text = JOB + "  lr: !float {low: 0.0001, high: 1, step: 0.0001}\n  batch_size: !int [2, 10001]\n"
    (tmp_path / "s.yaml").write_text(text + "search: {metric: validation/nll, sampler: grid, trials: 3}\n")
    (sweep,) = load(tmp_path / "s.yaml")
    assert sweep.grid({}) == [{"lr": 0.0001, "batch_size": size} for size in (2, 3, 4)]
    assert make_plan([sweep], [], {}).sweeps[0].trials == 3


def test_what_is_no_small_file_is_not_read(tmp_path: Path) -> None:
    """A pipe that nobody writes to, a device without an end, a folder, a link to itself, names that are too long."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path, tmp_path / "loop", tmp_path / ("x" * 300), "/proc/kmsg"):
        # The kernel's log has text now and then, which is no YAML.
        said = "YAML" if path == "/proc/kmsg" else "a YAML file"
        with pytest.raises(SpecError, match=said):
            load(path)
        (tmp_path / "s.yaml").write_text(f"job: !include {path}\n")
        with pytest.raises(SpecError, match=said):
            load(tmp_path / "s.yaml")


def test_elbo_is_sought_by_max_and_a_grid_of_metrics_is_that_of_the_job(tmp_path: Path) -> None:
    """The bound is the better the larger it is; of one scheme the metrics have no name of a scheme in them."""
    head = "model: digits_conv, data: digits, epochs: 2, lr: !float [0.01, 0.1]"
    (tmp_path / "s.yaml").write_text(
        f"job: {{kind: variational, {head}, noise: {{kind: variational_dropout, layers: '*'}}}}\n"
        "search: {metric: train/elbo, trials: 3}\n"
    )
    (sweep,) = load(tmp_path / "s.yaml")
    assert sweep.search is not None and sweep.search.directions == ("max",)


VALUES = (
    "null", "true", "''", "[]", "{}", "[[]]", "{kind: sgd}", "{kind: [sgd]}", "-1", "0", "1", "1.5", "1e-300", "1e300",
    "99999999999999999999", "'1'", "\"\\ud800\"", "\"\\x1b[31m\"", "[5]", "[1, 2, 3]", "{a: {b: c}}", "!int [1, 3]",
    "!float [0, 1]", "!float {low: 0, high: 1, step: 1e-300}", "!int {low: 3, high: 3}", "!choice [a]", "!choice []",
    "!choice [[1], {kind: sgd}]", "!each [1, 1]", "!each [{kind: a}, 2]", "!include nothing.yaml", "!include /dev/zero",
    "!nope 1", "&a [*a]", "~/x", "~nobody/x", "../..", "x" * 300, ".a:b", "a:b", "os:getcwd", ":", "a.b:", "=", "{",
    "kind: kind", "digits", "sgd", "swa", "2026-01-01", "0x10", "1_000", "+.5", ".inf", "no", "@x", "%y", "\t",
)  # fmt: skip


def mutated(text: str, draw: random.Random) -> str:
    """A text with one to four random edits of its lines, keys and values."""
    for _ in range(draw.randint(1, 4)):
        lines = text.splitlines() or [""]
        at = draw.randrange(len(lines))
        line = lines[at]
        kind = draw.randrange(8)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, draw.choice(lines))
        elif kind == 2:
            lines[at] = " " * draw.randrange(5) + line.lstrip()
        elif kind == 3 and ":" in line:
            lines[at] = f"{line[: line.index(':')]}: {draw.choice(VALUES)}"
        elif kind == 4:
            words = re.findall(r"[\w.]+", line)
            lines[at] = line.replace(draw.choice(words), draw.choice(VALUES), 1) if words else line
        elif kind == 5:
            lines[at], other = draw.choice(lines), line
            lines[draw.randrange(len(lines))] = other
        elif kind == 6 and line:
            place = draw.randrange(len(line))
            lines[at] = line[:place] + draw.choice("{}[],:!&*#|>'\"%@`-?\0é\u202e9") + line[place + draw.randrange(2) :]
        else:
            lines = lines[:at] if draw.random() < 0.2 else lines
        text = "\n".join(lines) + "\n"
    return text


def mutations(count: int, folder: Path, seed: int) -> Iterator[Path]:
    """Shipped files, each changed at random; includes lead to the unchanged ones."""
    draw = random.Random(seed)
    files = sorted(SWEEPS.rglob("*.yaml"))
    (folder / "recipes").symlink_to(SWEEPS / "recipes")
    for number in range(count):
        text = mutated(draw.choice(files).read_text(), draw)
        path = folder / f"{number}.yaml"
        path.write_text(text, errors="surrogatepass")
        yield path


@pytest.mark.parametrize(
    ("count", "seed"), [(150, 1), pytest.param(5_000, 2, marks=pytest.mark.fault)], ids=["few", "many"]
)
def test_no_mutation_of_a_shipped_file_ends_in_a_traceback(
    count: int, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is planned or refused is all that can come of a file."""
    monkeypatch.chdir(tmp_path)
    refused = 0
    for path in mutations(count, tmp_path, seed):
        try:
            make_plan(load(path), [], {})
        except RaysurfError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n\n{path.read_text(errors='replace')}") from error
    assert 0.3 * count < refused < count
