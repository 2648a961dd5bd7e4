"""Populations on values in closed form: no job is trained here."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raysurf as rs
from raysurf.errors import SpecError
from raysurf.sweep.assignments import canonical
from raysurf.sweep.document import load
from raysurf.sweep.lineage import earlier_generations, history
from raysurf.sweep.population import Population, drawn, perturbed
from raysurf.sweep.space import highest
from tests.support.cases import tiny_noise, tiny_sgd
from tests.support.sweep_files import faults, write

LR = rs.Float(0.001, 1.0, log=True)
SIZE = 8
HOLES = (
    LR,
    rs.Float(-1.0, 1.0),
    rs.Float(0.1, 0.95, step=0.1),
    rs.Float(0.0, 0.0),
    rs.Int(1, 3),
    rs.Int(2, 101, step=7),
    rs.Int(1, 512, log=True),
)


def search_of(**changes: Any) -> rs.Search:
    settings = {"metric": "validation/nll", "sampler": "pbt", "population": SIZE, "generations": 3, "seed": 0}
    return rs.Search(**{**settings, **changes})


def sweep_of(holes: Mapping[str, Any] | None = None, seeds: tuple[int, ...] = (), **search: Any) -> rs.Sweep:
    return rs.Sweep(tiny_sgd(epochs=1).with_holes(holes or {"lr": LR}), search_of(**search), "population", seeds)


def suggested(
    sweep: rs.Sweep,
    value_of: Callable[[int, Mapping[str, Any]], float | None],
    known: Sequence[Mapping[str, Any]] = (),
    **settings: Any,
) -> list[dict[str, Any]]:
    """Every assignment of a sweep; a trial without a value has failed."""
    assert sweep.search is not None
    population = Population(sweep.job, sweep.search, **settings)
    params = []
    for first in range(0, sweep.trials_in({}), sweep.search.population):
        generation = range(first, first + sweep.search.population)
        params += [population.ask(number, known[number] if number < len(known) else None) for number in generation]
        for number in reversed(generation):
            value = value_of(number, params[number])
            population.tell(number, None if value is None else (value,), value is None)
    return params


def by_number(number: int, params: Mapping[str, Any]) -> float:
    """The first members of each generation are the best of a metric that is to be small."""
    return float(number % SIZE)


def going_on(values: Mapping[str, Any], parent: Mapping[str, Any]) -> dict[str, Any]:
    own = {k: v for k, v in parent.items() if k != "lineage"}
    return {**values, "lineage": [*parent.get("lineage", []), own]}


@pytest.mark.parametrize("hole", HOLES, ids=str)
@given(seed=st.integers(0, 2**32), factor=st.sampled_from([0.01, 0.8, 0.99, 1.2, 30.0]))
def test_values_stay_in_their_holes(hole: Any, seed: int, factor: float) -> None:
    """What is drawn or perturbed is a value of the hole; a perturbed one has moved the right way, or is at the end."""
    value = drawn(hole, random.Random(seed))
    assert canonical(hole, value) == value
    moved = perturbed(hole, value, factor)
    assert canonical(hole, moved) == pytest.approx(moved)
    up = (factor > 1) == (value >= 0)
    is_at_end = value == (highest(hole) if up else hole.low)
    assert (moved > value if up else moved < value) or (moved == value and (is_at_end or value == 0))


def test_perturbation_multiplies() -> None:
    """Between the bounds a number without steps is multiplied; one with steps goes to the nearest that is another."""
    assert perturbed(LR, 0.1, 0.8) == 0.1 * 0.8
    assert perturbed(LR, 0.9, 1.2) == 1.0
    assert perturbed(rs.Int(1, 100), 50, 1.2) == 60
    assert perturbed(rs.Int(1, 100), 2, 1.2) == 3
    assert perturbed(rs.Int(1, 100, step=3), 4, 0.8) == 1
    assert perturbed(rs.Float(0.1, 0.9, step=0.1), 0.5, 1.2) == 0.6
    assert perturbed(rs.Float(0.1, 0.9, step=0.1), 0.2, 0.8) == 0.1


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_worst_go_on_from_the_best(mode: str) -> None:
    """Of eight the worst two take lineages of the best two and other values; the others keep their own."""
    params = suggested(sweep_of(mode=mode), by_number)
    best, worst = ((0, 1), (6, 7)) if mode == "min" else ((6, 7), (0, 1))
    for number in range(SIZE, 3 * SIZE):
        before = number - SIZE - number % SIZE
        own = params[number - SIZE]
        if number % SIZE in worst:
            parents = [going_on({"lr": params[number]["lr"]}, params[before + member]) for member in best]
            assert params[number] in parents
            assert params[number]["lr"] not in [params[before + member]["lr"] for member in best]
        else:
            assert params[number] == going_on({"lr": own["lr"]}, own)


def test_explored_values_are_perturbed_or_drawn_anew() -> None:
    """Without resampling every new value is one of two multiples; with nothing but resampling none is."""
    for resample in (0.0, 1.0):
        params = suggested(sweep_of(resample=resample, perturb=[0.5, 2.0], exploit_share=0.5, seed=1), by_number)
        ratios = [trial["lr"] / trial["lineage"][-1]["lr"] for trial in params[SIZE:]]
        changed = [ratio for ratio in ratios if ratio != 1.0]
        assert len(changed) == SIZE
        multiples = [ratio for ratio in changed if ratio == pytest.approx(0.5) or ratio == pytest.approx(2.0)]
        bounds = [trial["lr"] for trial in params[SIZE:] if trial["lr"] in (LR.low, LR.high)]
        assert len(multiples) + len(bounds) >= SIZE if resample == 0 else not multiples


def test_what_failed_is_replaced_and_never_copied() -> None:
    """A member that failed goes on from one that has a value, however many have failed; NaN is a failure."""
    for alone in ({3}, {0, 1, 2, 3, 4}):
        values = {number: float("nan") if number % 2 else None for number in range(SIZE)}
        params = suggested(sweep_of(generations=2), lambda number, _: 1.0 if number in alone else values[number % SIZE])  # noqa: B023
        first = [params[member]["lr"] for member in sorted(alone)]
        assert {trial["lineage"][0]["lr"] for trial in params[SIZE:]} <= set(first)
        assert [params[SIZE + member]["lr"] for member in sorted(alone)] == first
        assert len({trial["lr"] for trial in params[SIZE:]}) == SIZE


def test_after_nothing_but_failures_a_generation_begins_anew() -> None:
    """Where there is nothing to go on from, members are drawn as the first were, and lineages begin again."""
    params = suggested(sweep_of(), lambda number, _: None if number < SIZE else 1.0)
    assert not any("lineage" in trial for trial in params[: 2 * SIZE])
    assert not {trial["lr"] for trial in params[:SIZE]} & {trial["lr"] for trial in params[SIZE : 2 * SIZE]}
    assert all(len(trial["lineage"]) == 1 for trial in params[2 * SIZE :])


def test_seed_and_values_decide() -> None:
    """A seed suggests the same, whatever number the first trial has; another seed, or none, does not."""
    assert suggested(sweep_of(), by_number) == suggested(sweep_of(), by_number)
    shifted = Population(sweep_of().job, search_of(), first=40)
    assert [shifted.ask(40 + member) for member in range(SIZE)] == suggested(sweep_of(), by_number)[:SIZE]
    assert suggested(sweep_of(), by_number) != suggested(sweep_of(seed=1), by_number)
    assert suggested(sweep_of(seed=None), by_number) != suggested(sweep_of(seed=None), by_number)


def test_known_trials_come_first() -> None:
    """Without a seed, what an earlier run has begun is suggested again, and gone on from."""
    whole = suggested(sweep_of(seed=None), by_number)
    params = suggested(sweep_of(seed=None), by_number, known=whole[: SIZE + 3])
    assert params[: SIZE + 3] == whole[: SIZE + 3]
    assert params[SIZE + 3 : 2 * SIZE - 2] == whole[SIZE + 3 : 2 * SIZE - 2]
    assert suggested(sweep_of(seed=None), by_number)[0] != whole[0]


def test_conditional_holes_and_points() -> None:
    """Values inside an option are kept with it, and drawn where it is chosen anew; points begin, and are completed."""
    schedule = rs.Choice(({"kind": "constant", "lr": LR}, {"kind": "cosine", "lr": LR, "end": rs.Float(0.0, 0.01)}))
    tree = {"lr": None, "schedule": schedule}
    points = ({"schedule": "cosine", "schedule.cosine.end": 0.005}, {"schedule": "constant"})
    sweep = sweep_of(tree, points=points, exploit_share=0.5, resample=0.5, generations=6)
    params = suggested(sweep, by_number, points=points)
    assert params[0]["schedule.cosine.end"] == 0.005
    assert 0.001 <= params[0]["schedule.cosine.lr"] <= 1.0
    assert params[1].keys() == {"schedule", "schedule.constant.lr"}
    kinds = [tuple(history(trial, "schedule")) for trial in params]
    assert any(len(set(kind)) > 1 for kind in kinds)
    for trial, kind in zip(params, kinds, strict=True):
        job = sweep.fill(trial).jobs[0]
        chain = [job, *earlier_generations(job, trial)]
        assert [one.schedule.kind for one in reversed(chain)] == list(kind)  # type: ignore[attr-defined]


def test_members_of_a_generation_differ() -> None:
    """A member that goes on from another is not that one's double, though options are mostly kept."""
    holes = {"momentum": rs.Choice((0.0, 0.5, 0.9)), "batch_size": rs.Int(32, 64, step=16)}
    params = suggested(sweep_of(holes, exploit_share=0.5, resample=0.1, population=4), by_number)
    for first in (0, 4, 8):
        generation = params[first : first + 4]
        assert all(member not in generation[:place] for place, member in enumerate(generation))


def test_a_lineage_is_a_chain_of_jobs() -> None:
    """Each generation's job starts from the run of the one before, for every seed, and its random order goes on."""
    sweep = sweep_of(seeds=(3, 4))
    before = sweep.fill({"lr": 0.1})
    after = sweep.fill({"lr": 0.1, "lineage": [{"lr": 0.1}]})
    last = sweep.fill({"lr": 0.3, "lineage": [{"lr": 0.1}, {"lr": 0.1}]})
    for place, seed in enumerate((3, 4)):
        job = last.jobs[place]
        assert [ancestor.id for ancestor in job.ancestors] == [before.jobs[place].id, after.jobs[place].id]
        assert [stage.seed for stage in (*job.ancestors, job)] == [seed] * 3  # type: ignore[attr-defined]
        assert [stage.origin for stage in (*job.ancestors, job)] == [0, 1, 2]  # type: ignore[attr-defined]
        assert [stage.lr for stage in (*job.ancestors, job)] == [0.1, 0.1, 0.3]  # type: ignore[attr-defined]
        assert job.tree.keys().isdisjoint({"model"})
        assert (job.model_spec, job.data_spec) == (before.jobs[0].model_spec, before.jobs[0].data_spec)


def test_generations_of_other_kinds() -> None:
    """Averages go on from averages; noise goes on from noise, and is neither initialised nor warmed up again."""
    swa = rs.SWA(start=tiny_sgd(seed=0), epochs=2, lr=0.1).with_holes(lr=LR)
    job = rs.Sweep(swa, search_of()).fill({"lr": 0.2, "lineage": [{"lr": 0.1}]}).jobs[0]
    assert [stage.kind for stage in (*job.ancestors, job)] == ["sgd", "swa", "swa"]
    noise = (rs.VarianceNoise(layers="9"),)
    tree = tiny_noise(noise=noise, init=rs.ConstantSigma(sigma=0.1), kl_warmup=(0.0, 1.0)).with_holes(lr=LR)
    job = rs.Sweep(tree, search_of()).fill({"lr": 0.2, "lineage": [{"lr": 0.1}]}).jobs[0]
    assert job.ancestors[0].tree.keys() - job.tree.keys() == {"model", "init", "kl_warmup"}
    assert job.model_spec == job.ancestors[0].model_spec


def test_more_generations_are_the_same_sweep() -> None:
    """Generations that are added go on from those that are done; other settings of a population are another sweep."""
    assert sweep_of().digest == sweep_of(generations=9).digest
    assert len({sweep_of(**settings).digest for settings in ({}, {"population": 4}, {"resample": 0.5})}) == 3  # type: ignore[arg-type]


def test_lineages_that_are_none_are_refused() -> None:
    """A stored lineage of another form is an error, and so is one of a sweep that has no generations."""
    for lineage in ("x", [1], {"lr": 1}):
        with pytest.raises(SpecError, match="a list of assignments"):
            sweep_of().fill({"lr": 0.1, "lineage": lineage})
    plain = rs.Sweep(tiny_sgd().with_holes(lr=LR), rs.Search(metric="validation/nll", trials=2))
    with pytest.raises(SpecError, match="a hole there"):
        plain.fill({"lr": 0.1, "lineage": [{"lr": 0.1}]})


FILE = """
name: population
job: {kind: sgd, model: lenet5, data: digits, epochs: 2, lr: !float [0.01, 0.1]}
search: {metric: validation/nll, sampler: pbt, population: 4, generations: 3}
"""
CURVE = "{kind: curve, start: {kind: sgd, model: lenet5, data: digits, epochs: 2}, end: {kind: sgd, model: lenet5,"
CURVE += " data: digits, epochs: 2, seed: 1}, epochs: 2, lr: !float [0.01, 0.1]}"
SWA = "{kind: swa, start: {kind: sgd, model: lenet5, data: digits, epochs: 2, lr: 0.1}, budget: 2, lr: !float [0.1, 1]}"
JOB = FILE.splitlines()[2].removeprefix("job: ")


def test_the_file_is_sound(tmp_path: Path) -> None:
    """What the mistakes below are made in has none."""
    (sweep,) = load(write(tmp_path, FILE))
    assert sweep.trials_in({}) == 12


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        (", generations: 3", "", "search.generations", "a number of generations"),
        ("population: 4, ", "", "search.population", "a number of trials a generation"),
        ("generations: 3", "generations: 99", "search.generations", "less than or equal to 50"),
        ("}\n", ", trials: 12}\n", "search.trials", "population times generations"),
        ("}\n", ", batch: 2}\n", "search.batch", "a generation is suggested at a time"),
        ("}\n", ", perturb: [1.1, 1.2]}\n", "search.perturb", "the first below 1 and the second above"),
        ("}\n", ", perturb: [0.5]}\n", "search.perturb.1", "a value, which is required"),
        ("}\n", ", exploit_share: 0.6}\n", "search.exploit_share", "less than or equal to 0.5"),
        ("}\n", ", resample: 2}\n", "search.resample", "less than or equal to 1"),
        ("}\n", ", stopping: {kind: asha}}\n", "search.stopping", "are replaced when it ends"),
        ("}\n", ", warm_start: true}\n", "search.warm_start", "tpe or gp"),
        ("}\n", ", points: [{lr: 1}]}\n", "search.points.0.lr", "0.01 .. 0.1"),
        ("}\n", f", points: [{', '.join(['{lr: 0.1}'] * 5)}]}}\n", "search.points", "at most 4, as many as members"),
        ("validation/nll", "[validation/nll, validation/error]", "search.sampler", "ranked by one metric"),
        ("sampler: pbt", "sampler: tpe, trials: 3", "search.generations", "sampler: pbt, or no generations"),
        ("pbt, population: 4, generations: 3", "random, trials: 3, population: 4", "search.population", "nsga2 or pbt"),
        ("pbt, population: 4, generations: 3", "tpe, trials: 3, resample: 0.1", "search.resample", "sampler: pbt"),
        ("epochs: 2", "epochs: !int [1, 2]", "job.epochs", "the same for all generations"),
        ("model: lenet5", "model: !choice [lenet5, lenet5_bn]", "job.model", "the same for all generations"),
        (JOB, f"!choice [{JOB}]", "job", "one job, with holes in it"),
        (JOB, CURVE, "job.kind", "one of sgd, swa, swag, variational"),
        (JOB, SWA, "job.budget", "epochs, which every generation trains"),
        (JOB, SWA.replace("lr: 0.1}, budget", "lr: !float [0.1, 1]}, epochs"), "job.start.lr", "a plain value"),
    ],
)
def test_what_is_no_population_is_refused(old: str, new: str, where: str, said: str, tmp_path: Path) -> None:
    """Each setting that has no meaning is told with its place and what may stand there."""
    assert old in FILE
    head, _, tail = FILE.rpartition(old)
    messages = {path: text for (path, _), text in faults(write(tmp_path, head + new + tail)).items()}
    assert where in messages, messages
    assert said in messages[where]
