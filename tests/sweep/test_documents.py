"""Files: what they mean, and every mistake with its line."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.errors import SpecError
from raysurf.jobs.job import Job
from raysurf.sweep.checks import LONGEST_NAME
from raysurf.sweep.document import load
from raysurf.sweep.plan import continued, make_plan, shared_inputs, waves
from raysurf.sweep.space import labels
from raysurf.sweep.yaml_reader import read
from tests.support.cases import tiny_sgd
from tests.support.sweep_files import faults, write

BASE = "{kind: sgd, model: lenet5, data: digits, epochs: 2, lr: 0.1}"
GOOD = f"""
name: good
job:
  kind: swa
  start: {BASE}
  epochs: 4
  cycle_epochs: !int [1, 4]
  lr: !float {{low: 1e-3, high: 0.1, log: true}}
search: {{metric: validation/accuracy, trials: 3}}
"""


def test_numbers_and_words(tmp_path: Path) -> None:
    """1e-4 is a number, true a boolean, and yes, on and 1.2.3 are words."""
    (document,) = read(write(tmp_path, "a: 1e-4\nb: yes\nc: true\nd: '1'\ne: .5\nf: 1.2.3\ng: ~\nh: 10\ni: -2E+3\n"))
    expected = {"a": 1e-4, "b": "yes", "c": True, "d": "1", "e": 0.5, "f": "1.2.3", "g": None, "h": 10, "i": -2000.0}
    assert document.tree == expected


def test_include_and_merge(tmp_path: Path) -> None:
    """An included recipe is used with overrides, from a folder beside; explicit keys win wherever they stand."""
    (tmp_path / "recipes").mkdir()
    write(tmp_path, "kind: sgd\nmodel: lenet5\ndata: digits\nepochs: 2\n", "recipes/base.yaml")
    text = "kind: predict\nweights:\n  epochs: 5\n  <<: !include recipes/base.yaml\n  seed: 3\n"
    path = write(tmp_path, text)
    (sweep,) = load(path)
    assert sweep.job["weights"] == {"kind": "sgd", "model": "lenet5", "data": "digits", "epochs": 5, "seed": 3}
    assert sweep.name == "sweep"
    (document,) = read(path)
    assert document.place(("weights", "model"))[0].endswith("base.yaml")
    assert document.place(("weights", "seed")) == (path, 5)


def test_python_and_yaml_are_one(tmp_path: Path) -> None:
    """The sweep written in Python has the trials of the one written in YAML."""
    (from_file,) = load(write(tmp_path, GOOD))
    start = rs.SGD(model="lenet5", data="digits", epochs=2, lr=0.1)  # type: ignore[arg-type]
    job = rs.SWA(start=start, epochs=4, cycle_epochs=1, lr=0.1)
    tree = job.with_holes(cycle_epochs=rs.Int(1, 4), lr=rs.Float(1e-3, 0.1, log=True))
    sweep = rs.Sweep(tree, rs.Search(metric="validation/accuracy", trials=3), name="good")
    params = {"cycle_epochs": 2, "lr": 0.05}
    assert sweep.fill(params).jobs[0].id == from_file.fill(params).jobs[0].id
    with pytest.raises(SpecError, match="no such place"):
        job.with_holes({"begin.lr": rs.Int(1, 2)})


@pytest.mark.parametrize(
    ("text", "where", "line", "said"),
    [
        ("- 1\n- 2\n", "document", 1, "a mapping with name and job"),
        ("1: x\n", "document", 1, "a key that is a word"),
        ("name: x\njob: !flaot [1, 2]\n", "job", 2, "did you mean !float"),
        ("name: x\njob: !include nope.yaml\n", "document", 2, "No such file"),
        ("name: x\njob: !include sweep.yaml\n", "job", 2, "a circle of includes: sweep.yaml -> sweep.yaml"),
        ("name: x\njob: &a {b: *a}\n", "document", 2, "an anchor that holds itself"),
        ("name: x\njob: {<<: 3}\n", "job", 2, "a mapping to merge"),
        ("name: x\n", "job", 1, "a job: a mapping with kind"),
        ("name: x\nsaerch: {}\njob: {}\n", "saerch", 2, "did you mean 'search'"),
        (GOOD.replace("good", "a/b"), "name", 2, "letters, digits"),
        (GOOD.replace("accuracy", "acuracy"), "search.metric", 9, "did you mean 'validation/accuracy'"),
        (GOOD.replace("validation/accuracy", "test/accuracy"), "search.metric", 9, "nothing to test with"),
        (GOOD.replace("trials: 3", "sampler: tpee, trials: 3"), "search.sampler", 9, "'tpe'"),
        (GOOD.replace(", trials: 3", ""), "search.trials", 9, "how many"),
        (GOOD.replace("trials: 3", "trials: '3'"), "search.trials", 9, "integer"),
        (GOOD.replace("trials: 3", "trials: !int [1, 2]"), "search.trials", 9, "holes may stand under job alone"),
        (GOOD.replace("kind: swa", "kind: !choice [swa, sgd]"), "job.kind", 4, "no hole may stand here"),
        (GOOD.replace("[1, 4]", "[1, 9]"), "job", 3, "no cycle ends within the run"),
        (GOOD.replace("!int [1, 4]", "!float [-1, 4]"), "job.cycle_epochs", 7, "greater than 0"),
        (GOOD.replace("model: lenet5", "model: lenet4"), "job.start.model", 5, "did you mean 'lenet5'"),
        (GOOD.replace("data: digits", "data: {name: digits, validation: 0}"), "search.metric", 9, "a held-out split"),
        (GOOD + "seeds: [1, 1]\n", "seeds", 10, "each seed once"),
        (GOOD + "seeds: [1, -1]\n", "seeds.1", 10, "0 or more"),
        (GOOD + "resources: {workers: 0}\n", "resources.workers", 10, "a number from 1, or the least and the most"),
        (GOOD + "resources: {wokers: 2}\n", "resources.wokers", 10, "did you mean 'workers'"),
        (GOOD + "baselines: {}\n", "baselines", 10, "a list of jobs"),
        (GOOD + "baselines: [{kind: sgdd}]\n", "baselines.0.kind", 10, "did you mean 'sgd'"),
        (GOOD.replace("search:", "search_:"), "search_", 9, "one of name, job, search"),
    ],
)
def test_bad_files_are_refused(text: str, where: str, line: int, said: str, tmp_path: Path) -> None:
    """Each mistake is told with its path, its line, and what may stand there."""
    messages = faults(write(tmp_path, text))
    assert (where, line) in messages, messages
    assert said in messages[where, line]


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    """Faults of two documents, of a hole's option and of an included file come in one report, each where it stands."""
    write(tmp_path, "kind: sgd\nmodel: lenet5\ndata: digits\nepochs: nine\n", "base.yaml")
    text = """name: one
job:
  kind: swa
  start: !include base.yaml
  epochs: 4
  schedule: !choice
    - {kind: constant, lr: -1}
    - {kind: cyclc, high: 1}
search: {metric: validation/nll, trials: 3, speed: 9}
---
name: one
job: {kind: predict}
"""
    messages = faults(write(tmp_path, text))
    schedule = {("job.schedule.lr", 7), ("job.schedule.kind", 8)}
    others = {("job.start.epochs", 4), ("search.speed", 9), ("name", 11), ("job.weights", 12)}
    assert set(messages) == schedule | others
    assert "base.yaml:4" in messages["job.start.epochs", 4]


def test_two_searches_in_one_need_no_more(tmp_path: Path) -> None:
    """CMA-ES is refused choices, a grid floats without a step, and a search a job without holes."""
    cma = GOOD.replace("trials: 3", "trials: 3, sampler: cmaes").replace("!int [1, 4]", "!choice [1, 2]")
    assert "numbers alone" in faults(write(tmp_path, cma))["search.sampler", 9]
    grid = GOOD.replace("trials: 3", "sampler: grid")
    assert "a step, for a grid" in faults(write(tmp_path, grid))["lr", 8]
    plain = GOOD.replace("!int [1, 4]", "2").replace("!float {low: 1e-3, high: 0.1, log: true}", "0.1")
    assert "a hole in the job" in faults(write(tmp_path, plain))["search", 9]


def test_inputs_that_do_not_vary_are_shared() -> None:
    """Of a chain, what no hole touches is run once, for each seed that it does not state itself."""
    search = rs.Search(metric="validation/nll", trials=2)
    fixed = rs.SWA(start=tiny_sgd(seed=0), epochs=2, lr=0.1).with_holes(lr=rs.Float(0.1, 0.2))
    assert [job.id for job in shared_inputs(rs.Sweep(fixed, search=search, seeds=(1, 2)))] == [tiny_sgd(seed=0).id]
    free = rs.SWA(start=tiny_sgd(), epochs=2, lr=0.1).with_holes(lr=rs.Float(0.1, 0.2))
    expected = {tiny_sgd(seed=seed).id for seed in (1, 2)}
    assert {job.id for job in shared_inputs(rs.Sweep(free, search=search, seeds=(1, 2)))} == expected
    inner = rs.SWA(start=tiny_sgd(), epochs=2, lr=0.1).with_holes({"start.lr": rs.Float(0.1, 0.2)})
    assert shared_inputs(rs.Sweep(inner, search=search)) == []


def test_plan_counts_what_is_left() -> None:
    """Epochs of inputs that are done, of trials that are done, and of what an earlier sweep runs, are not counted."""
    job = rs.SWA(start=tiny_sgd(seed=0), epochs=5, lr=0.1).with_holes(cycle_epochs=rs.Int(1, 4))
    first = rs.Sweep(job, search=rs.Search(metric="validation/nll", trials=4), name="first")
    second = rs.Sweep(rs.Predict(weights=tiny_sgd(seed=0)), name="second")
    plan = make_plan([first, second], [], {})

    def epochs(job: Job) -> float:
        return job.epochs_to_train

    assert [sweep.left(epochs) for sweep in plan.sweeps] == [(2 + 20, 2 + 20), (0, 0)]
    assert plan.sweeps[1].jobs == ()
    again = make_plan([first, second], [tiny_sgd(seed=0).id], {"first": 3, "second": 1})
    assert [sweep.left(epochs) for sweep in again.sweeps] == [(5, 5), (0, 0)]
    assert not again.is_done
    assert make_plan([first, second], [tiny_sgd(seed=0).id], {"first": 4, "second": 1}).is_done


def test_plan_counts_what_some_trials_choose_once() -> None:
    """An input that a choice leads to is trained once, by however many trials it is chosen; it may be by none."""
    starts = rs.Choice((tiny_sgd(epochs=2, seed=0), tiny_sgd(epochs=3, seed=1)))
    job = rs.SWA(start=tiny_sgd(), epochs=5, lr=0.1).with_holes(start=starts, lr=rs.Float(0.1, 0.2))
    assert labels(job["start"]) == ["sgd digits_conv (1)", "sgd digits_conv (2)"]
    (plan,) = make_plan([rs.Sweep(job, search=rs.Search(metric="validation/nll", trials=4))], [], {}).sweeps
    assert plan.left(lambda job: job.epochs_to_train) == (2 + 4 * 5, 2 + 3 + 4 * 5)
    inside = rs.SWA(start=tiny_sgd(), epochs=5, lr=0.1).with_holes({"start.lr": rs.Float(0.1, 0.2)})
    (other,) = make_plan([rs.Sweep(inside, search=rs.Search(metric="validation/nll", trials=4))], [], {}).sweeps
    assert other.left(lambda job: job.epochs_to_train) == (4 * (tiny_sgd().epochs + 5),) * 2


def test_configurations_are_whole_sweeps() -> None:
    """Each configuration of a factorial axis has all trials of its own, and a name."""
    tree = rs.SWA(start=tiny_sgd(), epochs=2, lr=0.1).with_holes(
        cycle_epochs=rs.Int(1, 2), momentum=rs.Each((0.0, 0.9))
    )
    sweep = rs.Sweep(tree, search=rs.Search(metric="validation/nll", sampler="grid"))
    (plan,) = make_plan([sweep], [], {}).sweeps
    assert [configuration.trials for configuration in plan.configurations] == [2, 2]
    assert sweep.fill({"cycle_epochs": 1, "momentum": "0.9"}).arm == "swa momentum=0.9"


def test_longer_runs_wait_for_shorter_ones_and_cost_the_rest() -> None:
    """Arms of one trajectory wait for one another in the order of their epochs; the plan counts each epoch once."""
    start = tiny_sgd(epochs=4, until=3)
    tree = rs.SWA(start=start, budget=1, lr=0.1).with_holes(budget=rs.Each((1.5, 1.0, 2.0)))
    sweep = rs.Sweep(tree, seeds=(0, 1))
    (plan,) = make_plan([sweep], [], {}).sweeps
    jobs = [sweep.fill(configuration.params).jobs for configuration in plan.configurations]
    assert continued(jobs) == {0: {1}, 2: {0}}
    assert plan.left(lambda job: job.epochs_to_train) == (2 * 8, 2 * 8)
    assert plan.left_per_trial(lambda job: job.epochs_to_train) == 2 * 5 / 3
    done = [job.id for job in (*jobs[1], *(planned.job for planned in plan.jobs))]
    (later,) = make_plan([sweep], done, {sweep.name: 1}).sweeps
    assert later.left(lambda job: job.epochs_to_train) == (2 * 4, 2 * 4)


def test_waves_put_inputs_first() -> None:
    """A job stands in a later wave than everything that it needs."""
    base = tiny_sgd()
    swa = rs.SWA(start=base, epochs=1, lr=0.1)
    line = rs.Profile(along=rs.Line(start=base, end=swa))
    order = waves([line, tiny_sgd(seed=1), swa, base])
    assert [[job.kind for job in wave] for wave in order] == [["sgd", "sgd"], ["swa"], ["profile"]]


def test_a_name_leaves_room_for_what_files_are_named() -> None:
    """The longest name that passes is a file's with all that is added to it, Optuna's lock given back included."""
    added = "-0a1b2c.journal.lock" + str(uuid.uuid4()) + ".rename"
    name = rs.Sweep(tiny_sgd(), name="n" * LONGEST_NAME).name
    assert len(name + added) <= 255
    with pytest.raises(SpecError, match=rf"got n+… of 191 characters; expected at most {LONGEST_NAME}"):
        rs.Sweep(tiny_sgd(), name=f"{name}n")


def test_names_are_texts_and_ends_are_no_documents(tmp_path: Path) -> None:
    """A name of digits is what is written, a lone job is named for any file, and a --- at the end begins nothing."""
    for name in ("007", "3e563", "1e5", "12"):
        (tmp_path / "a.yaml").write_text(f"name: {name}\njob: {BASE}\n")
        assert [sweep.name for sweep in load(tmp_path / "a.yaml")] == [name]
    files = ("my sweep.yaml", "my-sweep"), ("é (1).yaml", "1"), ("....yaml", "sweep"), ("n" * 240, "n" * 182)
    for file, name in files:
        (tmp_path / file).write_text(f"{BASE}\n---\n")
        assert [sweep.name for sweep in load(tmp_path / file)] == [name]
    (tmp_path / "b.yaml").write_text(f"name: x\njob: !include my sweep.yaml\n---\n---\nname: y\njob: {BASE}\n---\n")
    assert [sweep.name for sweep in load(tmp_path / "b.yaml")] == ["x", "y"]
    (tmp_path / "c.yaml").write_text("---\n")
    with pytest.raises(SpecError, match="an empty file"):
        load(tmp_path / "c.yaml")
