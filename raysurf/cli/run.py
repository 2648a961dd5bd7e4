"""``raysurf check`` and ``run``."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING

import click

from raysurf import own_code, plugs
from raysurf.cli.examples import sweep_file
from raysurf.cli.options import results_option
from raysurf.cli.output import echo
from raysurf.wording import counted

if TYPE_CHECKING:
    from raysurf.cluster.capacity import Capacity
    from raysurf.jobs.job import Job
    from raysurf.sweep.plan import Plan, SweepPlan
    from raysurf.sweep.sweep import Sweep


@click.command()
@sweep_file()
@results_option
@click.option("--address", default=None, help="Address of a running Ray cluster; else one is started on this machine.")
@click.option(
    "--wandb",
    "wandb_mode",
    type=click.Choice(["auto", "online", "offline", "off"]),
    default="auto",
    show_default=True,
    help="auto is online if you are logged in, else offline.",
)
@click.option("--wandb-weights", is_flag=True, help="Log the stored weights of runs to W&B as artifacts.")
@click.option(
    "--retry-failed", is_flag=True, help="Retry failed trials; else only those whose inputs failed are retried."
)
@click.option(
    "--accept-changed", is_flag=True, help="Use stored runs although their network or data have changed since."
)
@click.option(
    "--replace", is_flag=True, help="Replace trials of an earlier definition of a sweep; their runs are kept."
)
@click.option(
    "--only",
    multiple=True,
    metavar="KEY=TEXT",
    help="Run only what fits arm=, kind=, sweep= or trial=; repeatable. * is any text; arm= is a configuration's name "
    "or some words of it, such as arm=lr=0.1.",
)
def run(
    file: str,
    results: str,
    address: str | None,
    wandb_mode: str,
    wandb_weights: bool,
    retry_failed: bool,
    accept_changed: bool,
    replace: bool,
    only: tuple[str, ...],
) -> None:
    """Run the job or the sweeps of FILE; running it again resumes where it stopped."""
    began = time.monotonic()
    from raysurf.cli.display import Display
    from raysurf.cli.interrupts import Interrupts
    from raysurf.cli.summary import summarise
    from raysurf.cluster.launch import PlanRecord, launch, plan_sweeps
    from raysurf.cluster.listeners import WandbListener
    from raysurf.store.filesystem import results_option
    from raysurf.store.store import Store
    from raysurf.sweep.document import load

    sweeps, store = load(file), Store(results)
    plan = plan_sweeps(sweeps, store, only, retry_failed, accept_changed, replace)
    with (
        Interrupts() as interrupts,
        Display(plan) as display,
        WandbListener(store, wandb_mode, display, wandb_weights) as tracker,
    ):
        record = PlanRecord(store, file)

        def listen(event: object) -> None:
            record(event)  # type: ignore[arg-type]
            display(event)  # type: ignore[arg-type]
            tracker(event)  # type: ignore[arg-type]

        finished = launch(plan, store, listen, address, shutdown=interrupts.shutdown)
    for line in summarise([planned.sweep for planned in plan.sweeps], store, file, tracker.notice):
        echo(line)
    at = results_option(results)
    failed = f"{finished.failed} failed (why: raysurf why{at})"
    failed += "".join(f", {name} stopped" for name in finished.stopped)
    done = f"{finished.done} runs done, {failed}" if finished.failed else "all done"
    echo(f"{done} in {time.monotonic() - began:.0f} s", err=True)
    if finished.failed:
        click.get_current_context().exit(1)


AGAIN = "--retry-failed tries again"


@click.command()
@sweep_file()
@results_option
@click.option("--address", default=None, help="Address of a running Ray cluster; else this machine.")
@click.option("--retry-failed", is_flag=True, help="Count failed trials as still to run.")
@click.option(
    "--replace", is_flag=True, help="Replace trials of an earlier definition of a sweep; their runs are kept."
)
@click.option("--only", multiple=True, metavar="KEY=TEXT", help="As for `run`.")
@click.option("--accept-changed", is_flag=True, help="As for `run`.")
@click.option("--no-import", is_flag=True, help="Locate the modules that FILE names without running their code.")
def check(
    file: str,
    results: str,
    address: str | None,
    retry_failed: bool,
    replace: bool,
    only: tuple[str, ...],
    accept_changed: bool,
    no_import: bool,
) -> None:
    """Validate FILE and print what `run` will do: jobs, reuse, trials, epochs, resources. Changes nothing."""
    from raysurf.cluster.capacity import require_resources
    from raysurf.cluster.launch import capacity_of, plan_sweeps
    from raysurf.store.store import Store
    from raysurf.sweep.document import load

    with own_code.no_imports() if no_import else contextlib.nullcontext():
        if not no_import:
            for group in plugs.GROUPS:
                list(plugs.of_others(group))  # Warns of those that fail.
        sweeps, store = load(file), Store(results)
        plan = plan_sweeps(sweeps, store, only, retry_failed, accept_changed, replace)
        capacity = capacity_of(address)
        echo("\n".join(plan_lines(plan, capacity, file, results)))
    require_resources(plan, capacity)
    store.check_writable()


def plan_lines(plan: Plan, capacity: Capacity, file: str, results: str) -> list[str]:
    """The printed lines of a plan."""
    lines = [f"{file}: {counted(len(plan.sweeps), 'sweep')}; results in {results}"]
    for planned in plan.sweeps:
        lines += ["", planned.sweep.name, *(f"  {name:<10}{text}" for name, text in _sweep_lines(planned, capacity))]
    if plan.is_done:
        failed = any(planned.trials_failed for planned in plan.sweeps)
        what = f"what is left failed before; {AGAIN}" if failed else "everything is done; nothing is left to run"
        lines += ["", what]
    return lines


def _sweep_lines(plan: SweepPlan, capacity: Capacity) -> list[tuple[str, str]]:
    sweep, lines = plan.sweep, list[tuple[str, str]]()
    for planned in plan.jobs:
        job = planned.job
        cost = "done, reused" if planned.done else _cost(job)
        lines.append((planned.role, f"{job.id}  {job.model_spec.name} on {job.data_spec.shown}: {cost}"))
    kind = sweep.samples[0].jobs[0].kind
    seeds = f" x {counted(len(sweep.seeds), 'seed')}" if sweep.seeds else ""
    finished = plan.trials_done - plan.trials_failed
    reused = f", {finished} done, reused" if finished else ""
    reused += f", {plan.trials_failed} failed before" if plan.trials_failed else ""
    asked = sweep.search.trials if sweep.search is not None and sweep.is_exhausted else None
    more = f" ({asked} were asked for; its holes have no more assignments)" if asked else ""
    lines.append(("trials", f"{plan.trials} of {kind}{seeds}{reused}{more}"))
    lines += [("", f"{name or 'job'} = {hole}") for name, hole in sweep.parameters.items()]
    if search := sweep.search:
        sought = zip(search.directions, search.metrics, strict=True)
        how = f"{search.method} for {' and '.join(f'the {mode} of {metric}' for mode, metric in sought)}"
        if search.seed is not None:
            repeat = f", seed {search.seed}, {search.at_a_time} at a time"
        else:
            repeat = "" if search.method.LISTS else ", not reproducible (no seed)"
        lines.append(("search", how + repeat))
        lines += [("", note) for note in search.method.notes(search)]
        lines += [("", f"first {', '.join(f'{k} = {v}' for k, v in point.items())}") for point in search.points]
        if search.warm_start:
            sources = ", ".join(search.warm_start) if isinstance(search.warm_start, tuple) else "earlier definitions"
            lines.append(("", f"learns first from finished trials of {sources}"))
        if search.stopping:
            lines.append(("stopping", f"{search.stopping.kind} after {counted(search.stopping.grace_epochs, 'epoch')}"))
    if sweep.budget:
        lines.append(("budget", f"{sweep.budget}; no trial begins that could pass it"))
    lines.append(("epochs", f"{_range(plan.left(lambda job: job.epochs_to_train))} to train"))
    if (points := plan.left(lambda job: job.points_to_measure)) != (0, 0):
        lines.append(("points", f"{_range(points)} to measure"))
    lines += _imports(sweep)
    lines += _failure_lines(sweep)
    needs = sweep.resources
    gpus = f" and {needs.gpus:g} GPU" if needs.gpus else ""
    at_once = capacity.trials_at_once(needs)
    has = f"{capacity.where} ({capacity.cpus:g} CPUs, {capacity.gpus:g} GPUs{_growth(capacity)})"
    fit = f"{counted(at_once, 'trial')} at a time" if at_once else "CANNOT RUN"
    workers = counted(needs.most_workers, "worker")
    if needs.least_workers < needs.most_workers:
        workers = f"{needs.least_workers} to {workers}"
    lines.append(("runs on", f"{workers} of {needs.cpus} CPU{gpus}; {fit} on {has}"))
    return lines


def _imports(sweep: Sweep) -> list[tuple[str, str]]:
    """The user's modules that a sweep imports, with their files."""
    code = "code of yours" if own_code.are_imported() else "code of yours, not imported now"
    lines = []
    for name in sweep.code:
        also = [module for module in own_code.sources(name) if module != name.partition(":")[0]]
        lines.append(("imports", f"{name} ({code}: {', '.join([str(own_code.find(name) or 'built in'), *also])})"))
    return lines


def _growth(capacity: Capacity) -> str:
    """The size to which an autoscaler can grow a cluster."""
    if capacity.growth is None:
        return ""
    if math.isinf(capacity.most_cpus):
        return " now; it grows"
    return f" now; it grows to {capacity.most_cpus:g} CPUs, {capacity.most_gpus:g} GPUs"


def _failure_lines(sweep: Sweep) -> list[tuple[str, str]]:
    """The failure settings that a sweep states."""
    said, failures = sweep.failures.model_fields_set, sweep.failures
    texts = {
        "retries": f"{failures.retries} more tries of what was lost or ran out of memory",
        "max_failed_share": f"no more trials begin when over {failures.max_failed_share:.0%} have failed",
        "time_limit_s": f"a trial is ended after {failures.time_limit_s or 0:g} s",
    }
    return [("failures", text) for name, text in texts.items() if name in said]


def _cost(job: Job) -> str:
    parts = [f"{counted(job.epochs_to_train, 'epoch')} to train"] if job.epochs_to_train else []
    parts += [f"{counted(job.points_to_measure, 'point')} to measure"] if job.points_to_measure else []
    return ", ".join(parts) or "nothing to train"


def _range(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
