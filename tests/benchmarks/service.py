"""What the service costs beside plain Optuna and plain Ray Tune: ``python -m tests.benchmarks.service``.

Everything runs on one Ray of two CPUs that is there already, with rows, saved weights and W&B's offline files switched
on; ``--only`` takes the beginning of a figure's name.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import optuna
import psutil

import raysurf as rs
from raysurf.cluster.events import Event, RunEnded
from raysurf.cluster.listeners import WandbListener
from raysurf.cluster.ray_cluster import connection, prepare
from raysurf.store.store import Store
from tests.benchmarks.rounds import in_turns, tell
from tests.benchmarks.service_work import Work, work

EMPTY_TRIALS, GROUP_TRIALS, MEMORY_TRIALS = 64, 30, 300


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one round of each; for a look")
    parser.add_argument("--only", default="", help="the figures to look at")
    given = parser.parse_args()
    os.environ["WANDB_MODE"] = "offline"
    rounds = 1 if given.quick else 5
    on_two_cpus = {"empty_trial": _empty_trials, "one_second": _seconds, "group": _groups, "many": _many}
    chosen = {name: act for name, act in on_two_cpus.items() if name.startswith(given.only)}
    if chosen:
        with connection(None, needs_dashboard=True):
            for act in chosen.values():
                act(rounds)
    if "memory".startswith(given.only):
        _memory()
    if "nodes".startswith(given.only):
        _nodes(rounds)
    if "checkpoint".startswith(given.only):
        _checkpoint(rounds)


def sweep(job: Work, trials: int, **settings: Any) -> rs.Sweep:
    """A search of the figure's one value."""
    search = rs.Search(metric="validation/nll", trials=trials)
    return rs.Sweep(job.with_holes(x=rs.Float(0.0, 1.0)), search, name="work", **settings)


def ours(job: Work, trials: int, listen: Callable[[Event], None] = lambda event: None, **settings: Any) -> float:
    """Seconds that a search of ours takes, in a new store, with W&B offline."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        began = time.perf_counter()
        with WandbListener(store, "offline", lambda event: None) as tracker:

            def both(event: Event) -> None:
                listen(event)
                tracker(event)

            assert rs.run(sweep(job, trials, **settings), folder, listener=both).failed == 0
        took = time.perf_counter() - began
        assert rs.results.open(folder).table("epochs").num_rows == trials * job.epochs
    return took


def noted_in(values: list[float], measure: Callable[[], float] = time.perf_counter) -> Callable[[Event], None]:
    """A listener that measures something, the time if nothing else, whenever a run ends."""
    return lambda event: values.append(measure()) if isinstance(event, RunEnded) else None


def optunas(job: Work, trials: int) -> float:
    """Seconds of plain Optuna in this process."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()

    def objective(trial: optuna.Trial) -> float:
        values: list[float] = []
        x = trial.suggest_float("x", 0.0, 1.0)
        work(x, job.epochs, job.epoch_s, job.busy, lambda epoch, value: values.append(value))
        return values[-1]

    began = time.perf_counter()
    study.optimize(objective, n_trials=trials)
    return time.perf_counter() - began


def tunes(job: Work, trials: int, reuse_actors: bool) -> float:
    """Seconds of plain Ray Tune's function API, with its own random search."""
    from ray import tune

    def objective(config: dict[str, float]) -> None:
        work(
            config["x"], job.epochs, job.epoch_s, job.busy, lambda epoch, value: tune.report({"nll": value, "e": epoch})
        )

    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(objective, {"cpu": 1}),
            param_space={"x": tune.uniform(0.0, 1.0)},
            tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=reuse_actors),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        began = time.perf_counter()
        assert len(tuner.fit()) == trials
        return time.perf_counter() - began


def _empty_trials(rounds: int) -> None:
    """A trial that does nothing: what it takes over plain Optuna's."""
    job = Work()
    times = in_turns({"ours": partial(ours, job, EMPTY_TRIALS), "optuna": partial(optunas, job, EMPTY_TRIALS)}, rounds)
    more = sorted((a - b) / EMPTY_TRIALS for a, b in zip(times["ours"], times["optuna"], strict=True))
    _tell_cost("empty_trial/more_than_optuna", more, 0.1, "s/trial")


def _seconds(rounds: int) -> None:
    """Trials of a second: over plain Tune, as it is and with processes used again."""
    job, trials = Work(epochs=10, epoch_s=0.1, weights_kib=1024), 24
    timed = {"ours": partial(ours, job, trials), "tune": partial(tunes, job, trials, False)}
    times = in_turns(timed | {"reusing": partial(tunes, job, trials, True)}, rounds)
    for peer, target in (("tune", 1.1), ("reusing", None)):
        tell(f"service/one_second/over_{peer}", times["ours"], times[peer], unit="s", better="lower", target=target)


def _groups(rounds: int) -> None:
    """Trials of two workers that do nothing: all in all, and each after the first."""
    totals, later = [], []
    for _ in range(rounds):
        ends: list[float] = []
        totals.append(ours(Work(), GROUP_TRIALS, noted_in(ends), resources=rs.Resources(workers=2)) / GROUP_TRIALS)
        later.append((ends[-1] - ends[0]) / (GROUP_TRIALS - 1))
    _tell_cost("group/trial", totals, 0.3, "s/trial")
    _tell_cost("group/trial_after_the_first", later, 0.3, "s/trial")


def _many(rounds: int) -> None:
    """The cost of a trial at 500 over that at 50, and what the driver's memory grows by from 50 to 500."""
    grown: list[float] = []

    def trial(trials: int) -> float:
        memory: list[float] = []
        took = ours(Work(), trials, noted_in(memory, _resident_kib))
        if trials == 500:
            grown.append((memory[-1] - memory[49]) / 450)
        return took / trials

    times = in_turns({"50": partial(trial, 50), "500": partial(trial, 500)}, max(1, rounds // 2))
    tell("service/many/trial_at_500_over_50", times["500"], times["50"], unit="s/trial", better="lower", target=1.5)
    _tell_cost("many/memory", grown[1:], 100.0, "KiB/trial")


def _memory() -> None:
    """Resident memory at the end of trial 300 over that at trial 50, of trainings in this process and through Ray."""
    for executor in ("inline", "ray"):
        resident: dict[str, list[float]] = {}

        def listen(event: Event, resident: dict[str, list[float]] = resident) -> None:
            if isinstance(event, RunEnded) and event.role == "trial":
                workers = [worker.memory_info().rss for worker in _workers()]
                sizes = {"driver": psutil.Process().memory_info().rss, "workers": max(workers, default=0)}
                for process, kept in sizes.items():
                    resident.setdefault(process, []).append(kept / 2**20)

        job = rs.SGD(model="digits_conv", data={"name": "digits", "share": 0.3}, epochs=1, lr=0.1)
        search = rs.Search(metric="validation/nll", sampler="random", trials=MEMORY_TRIALS)
        with tempfile.TemporaryDirectory() as folder:
            searched = rs.Sweep(job.with_holes(lr=rs.Float(0.01, 0.1)), search, name="memory")
            assert rs.run(searched, folder, listener=listen, executor=executor).failed == 0
        for process, kept in resident.items():
            if kept[49]:
                figure = f"service/memory/{executor}/{process}"
                tell(figure, [kept[-1]], [kept[49]], unit="MiB", better="lower", target=1.1)


def _workers() -> Iterator[psutil.Process]:
    """Ray's workers below this process."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.name().startswith("ray::"):
                yield process


def _nodes(rounds: int) -> None:
    """Sleeping trials per time on a simulated cluster of four nodes of one CPU, over those on one node."""
    measured: dict[int, list[float]] = {1: [], 4: []}
    for _ in range(max(1, rounds // 2)):
        for nodes, rates in measured.items():
            with _cluster(nodes):
                ends: list[float] = []
                ours(Work(epoch_s=4.0, busy=False), 6 * nodes, noted_in(ends))
                # From the end of the first trials, when every process is up.
                rates.append((len(ends) - nodes) / (ends[-1] - ends[nodes - 1]))
    tell("service/nodes/rate_of_4_over_1", measured[4], measured[1], unit="trials/s", better="higher", target=0.85 * 4)


@contextmanager
def _cluster(nodes: int) -> Iterator[None]:
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def _checkpoint(rounds: int) -> None:
    """Keeping the state of VGG-16, over an epoch of ten seconds."""
    from raysurf.models import registry
    from raysurf.training.checkpoints import Place
    from raysurf.training.fast import channels_last
    from tests.support.execution import context_of

    net = registry.build("vgg16", num_classes=10, image_shape=(3, 32, 32))
    state = channels_last(net, (3, 32, 32)).state_dict()
    state = {f"{part}/{name}": value.clone() for part in ("trainable", "momentum") for name, value in state.items()}
    took = []
    with tempfile.TemporaryDirectory() as folder:
        job = rs.SGD(model="vgg16", data="cifar10", epochs=999, lr=0.1)
        checkpoints = context_of(job, Store(folder)).checkpoints
        for epoch in range(1, rounds + 2):
            checkpoints._cost = 0.0
            began = time.perf_counter()
            checkpoints.save(Place(epoch), lambda: state)
            took.append(time.perf_counter() - began)
    _tell_cost("checkpoint/of_a_10_s_epoch", [seconds / 10.0 for seconds in took[1:]], 0.05, "s/s")


def _resident_kib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1024


def _tell_cost(figure: str, costs: list[float], target: float, unit: str) -> None:
    """Print a cost that has no peer to be divided by."""
    value = sorted(costs)[len(costs) // 2]
    line = {"figure": f"service/{figure}", "value": round(value, 4), "target": target, "met": value <= target}
    print(
        json.dumps({**line, "unit": unit, "rounds": len(costs), "all": [round(cost, 4) for cost in costs]}), flush=True
    )


if __name__ == "__main__":
    prepare()
    main()
