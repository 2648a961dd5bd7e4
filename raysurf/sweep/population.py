"""Population-based training: which trial of a generation goes on from which, and with what values."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from raysurf.store.parts import LINEAGE
from raysurf.sweep import space
from raysurf.sweep.lineage import FIXED, earlier_values, kinds_that_go_on, own_values
from raysurf.sweep.search import Sampler, Search, Sweep
from raysurf.sweep.space import Choice, Float, Int, Params, Searched, Tree, at_step, highest, labels, num_steps
from raysurf.values import PathFault, fault, shown

_REQUIRED = {"population": "trials a generation", "generations": "generations, each of which trains the job's epochs"}
# Draws until a member differs from every other of its generation.
TRIES = 20


class Population:
    """Suggestions for the searched holes of a job, a generation at a time.

    The first generation is drawn at random. After that a member goes on with its values from its own weights, unless it
    is among the worst ``exploit_share`` of its generation or has failed: then it takes weights and values of one of the
    best ``exploit_share``, and every value is drawn anew with probability ``resample``, else multiplied by one of
    ``perturb``. A generation of which all have failed is followed by one that begins anew.

    What is suggested depends on the seed, the trial's place and the metrics of the generations before, nothing else.

    Args:
        tree: The job, with holes.
        search: Its population, generations, seed and metric.
        first: Number of the first trial; trial ``first + g * population + m`` is member m of generation g.
        points: Assignments of the first members; a partial one is completed at random.

    Source:
        Jaderberg et al. 2017 (arXiv:1711.09846), section 3 and appendix A: truncation selection, perturbation and
        resampling. Deviations: a factor that leaves a value where it is, since it is at a bound, is not drawn, a value
        with a step moves by one at least, and no two members of a generation are the same, as long as there are others:
        here the same values mean the same weights.
    """

    def __init__(
        self,
        tree: Tree,
        search: Search,
        first: int = 0,
        points: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.tree, self.search, self.first = tree, search, first
        self.points = points
        self.seed = random.SystemRandom().getrandbits(64) if search.seed is None else search.seed
        self.params: list[Params] = []
        self.metrics: dict[int, float] = {}

    def ask(self, number: int, known: Mapping[str, Any] | None = None) -> Params:
        """The assignment of a trial, or the one that an earlier run has suggested for it.

        Those of a generation are asked for in order, when the one before has ended.
        """
        place = number - self.first
        assert place == len(self.params)
        params = self._suggested(place, random.Random(f"{self.seed} {place}")) if known is None else dict(known)
        self.params.append(params)
        return params

    def tell(self, number: int, values: tuple[float, ...] | None, failed: bool) -> None:
        """Say what came of a trial; one without a finite metric has failed."""
        if not failed and values is not None and math.isfinite(values[0]):
            self.metrics[number - self.first] = values[0] if self.search.directions[0] == "max" else -values[0]

    def _suggested(self, place: int, draw: random.Random) -> Params:
        size = self.search.population
        member = place % size
        asked = self.params[place - member :]
        ranked = self._ranked(place // size - 1)
        if not ranked:
            point = self.points[place] if place < len(self.points) else {}
            return _unlike(asked, lambda: self._drawn(point, draw))
        staying = ranked[: size - num_exploited(self.search)]
        if place - size in staying:
            return _going_on(own_values(self.params[place - size]), self.params[place - size])
        others = [_going_on(own_values(self.params[other]), self.params[other]) for other in staying]
        best = ranked[: num_exploited(self.search)]
        return _unlike([*asked, *others], lambda: self._explored(self.params[draw.choice(best)], draw))

    def _ranked(self, generation: int) -> list[int]:
        """Places of a generation that have metrics, the best first; of equal ones the first."""
        size = self.search.population
        places = range(generation * size, (generation + 1) * size)
        return sorted((place for place in places if place in self.metrics), key=lambda place: -self.metrics[place])

    def _drawn(self, point: Mapping[str, Any], draw: random.Random) -> Params:
        return space.choose(self.tree, lambda name, hole: point[name] if name in point else drawn(hole, draw))

    def _explored(self, parent: Params, draw: random.Random) -> Params:
        def take(name: str, hole: Searched) -> Any:
            if name not in parent or draw.random() < self.search.resample:
                return drawn(hole, draw)
            return parent[name] if isinstance(hole, Choice) else self._perturbed(hole, parent[name], draw)

        return _going_on(space.choose(self.tree, take), parent)

    def _perturbed(self, hole: Float | Int, value: float, draw: random.Random) -> Any:
        moved = [perturbed(hole, value, factor) for factor in self.search.perturb]
        return draw.choice([other for other in moved if other != value] or [value])


class PBT(Sampler):
    """Population-based training; see ``Population``."""

    kind: ClassVar[str] = "pbt"
    IN_GENERATIONS: ClassVar[bool] = True
    ONE_METRIC: ClassVar[str] = "a population is ranked by one metric"
    SETTINGS: ClassVar[tuple[str, ...]] = ("population", "generations", "exploit_share", "perturb", "resample")

    def asked(self, tree: Any, search: Search, first: int, points: Sequence[Mapping[str, Any]]) -> Population:
        return Population(tree, search, first, points)

    def num_trials(self, search: Search, num_assignments: float) -> int:
        assert search.generations is not None
        return search.population * search.generations

    def at_a_time(self, search: Search) -> int:
        return search.population

    def most_points(self, search: Search) -> tuple[int, str]:
        return search.population, "members"

    def notes(self, search: Search) -> list[str]:
        some = num_exploited(search)
        worst = f"the worst {some} of each go on from one of the best {some}"
        return [f"{search.generations} generations of {search.population}; {worst}"]

    def faults(self, sweep: Sweep, search: Search) -> list[PathFault]:
        faults: list[PathFault] = []
        for name in ("population", "generations"):
            if name not in search.model_fields_set or getattr(search, name) is None:
                faults.append(fault(("search", name), "nothing", f"a number of {_REQUIRED[name]}"))
        if search.trials is not None:
            product = "no trials: they are population times generations"
            faults.append(fault(("search", "trials"), shown(search.trials), product))
        if "batch" in search.model_fields_set:
            faults.append(
                fault(("search", "batch"), shown(search.batch), "no batch: a generation is suggested at a time")
            )
        if not 0 < search.perturb[0] < 1 < search.perturb[1]:
            factors = "two factors above 0, the first below 1 and the second above"
            faults.append(fault(("search", "perturb"), shown(list(search.perturb)), factors))
        if search.stopping is not None:
            instead = "the worst of a generation are replaced when it ends"
            faults.append(fault(("search", "stopping"), "early stopping of a population", "no stopping", instead))
        jobs = {job.kind: job for assignment in sweep.samples for job in assignment.jobs}
        able_kinds = kinds_that_go_on()
        for kind in jobs.keys() - set(able_kinds):
            able = f"one of {', '.join(able_kinds)}, which can start from the weights of their own kind"
            faults.append(fault(("job", "kind"), f"{kind} with sampler pbt", able))
        if any(getattr(job, "budget", None) is not None for job in jobs.values()):
            faults.append(fault(("job", "budget"), "budget with sampler pbt", "epochs, which every generation trains"))
        for name, hole in sweep.parameters.items():
            field = name.partition(".")[0]
            if not isinstance(hole, space.Each) and (not field or field in FIXED):
                fixed = "a plain value, the same for all generations" if field else "one job, with holes in it"
                faults.append(fault(("job", *name.split(".")) if name else ("job",), f"{hole} with sampler pbt", fixed))
        return faults


def num_exploited(search: Search) -> int:
    """Members of a generation that are replaced if none has failed, and as many that are copied."""
    return max(1, int(search.exploit_share * search.population + 1e-9))


def _going_on(values: Params, parent: Params) -> Params:
    """The assignment of a member with these values that goes on from another one."""
    return {**values, LINEAGE: [*earlier_values(parent), own_values(parent)]}


def _unlike(others: Sequence[Params], make: Callable[[], Params]) -> Params:
    """The first that is made that is none of the others; the last if all are."""
    made = make()
    for _ in range(TRIES):
        if made not in others:
            break
        made = make()
    return made


def drawn(hole: Searched, draw: random.Random) -> Any:
    """A value of a hole at random: evenly between its bounds, between their logarithms, or among its options."""
    if isinstance(hole, Choice):
        return draw.choice(labels(hole))
    low, high = hole.low, highest(hole)
    if hole.log:
        half = 0.5 if isinstance(hole, Int) else 0.0
        value = math.exp(draw.uniform(math.log(low - half), math.log(high + half)))
        return min(max(round(value) if isinstance(hole, Int) else value, low), high)
    if hole.step is None:
        return draw.uniform(low, high)
    return at_step(hole, draw.randint(0, num_steps(low, high, hole.step)))


def perturbed(hole: Float | Int, value: float, factor: float) -> Any:
    """A value times a factor, within the hole's bounds, and on its steps, of which it moves one at least."""
    moved = min(max(value * factor, hole.low), highest(hole))
    if hole.step is None:
        return moved
    now, then = (round((number - hole.low) / hole.step) for number in (value, moved))
    if then == now:
        then += 1 if (factor > 1) == (value >= 0) else -1
    return at_step(hole, min(max(then, 0), num_steps(hole.low, highest(hole), hole.step)))
