"""``raysurf run``: run what a file asks for, and go on where an earlier run stopped."""

from __future__ import annotations

import time

import click

from raysurf.cli.echo import echo


@click.command()
@click.argument("file")
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
@click.option("--address", default=None, help="Of a running Ray cluster; else one is started on this machine.")
@click.option(
    "--wandb",
    "wandb_mode",
    type=click.Choice(["auto", "online", "offline", "off"]),
    default="auto",
    show_default=True,
    help="auto is online if you are logged in, else offline.",
)
@click.option("--wandb-weights", is_flag=True, help="Send the weights that runs keep to W&B, as artifacts.")
@click.option("--retry-failed", is_flag=True, help="Try trials that failed again; else they are left as they are.")
@click.option("--accept-changed", is_flag=True, help="Use stored runs whose network or data were others than now.")
@click.option("--replace", is_flag=True, help="Replace trials of another definition under a name; their runs are kept.")
@click.option(
    "--only",
    multiple=True,
    metavar="KEY=TEXT",
    help="Run this and leave the rest: arm=, kind=, sweep= or trial=; may be given again. * is any text; an arm fits "
    "some of its words, such as arm=lr=0.1.",
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
    """Run the job or the sweeps of FILE; running it again goes on where it stopped."""
    began = time.monotonic()
    from raysurf.cli.display import Display
    from raysurf.cli.interrupts import Interrupts
    from raysurf.cli.summary import summarise
    from raysurf.cluster.launch import launch, plan_sweeps
    from raysurf.cluster.plan_record import PlanRecord
    from raysurf.cluster.wandb_listener import WandbListener
    from raysurf.results.address import results_option
    from raysurf.results.store import Store
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

        finished = launch(plan, store, listen, address, leaving=interrupts.leaving)
    for line in summarise([each.sweep for each in plan.sweeps], store, file, tracker.notice):
        echo(line)
    at = results_option(results)
    failed = f"{finished.failed} failed (why: raysurf why{at})"
    failed += "".join(f", {name} stopped" for name in finished.stopped)
    done = f"{finished.done} runs done, {failed}" if finished.failed else "all done"
    echo(f"{done} in {time.monotonic() - began:.0f} s", err=True)
    if finished.failed:
        click.get_current_context().exit(1)
