"""The ``raysurf`` command: its subcommands, and how errors and interrupts end it."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import sys
import traceback

import click

from raysurf.cli.examples import list_examples, print_schema
from raysurf.cli.help import help_on
from raysurf.cli.logs import logs
from raysurf.cli.options import printed_warnings
from raysurf.cli.output import echo
from raysurf.cli.pictures import plot, report
from raysurf.cli.remote import list_jobs, status, stop, submit
from raysurf.cli.run import check, run
from raysurf.cli.runs import diff, why
from raysurf.cli.store import compact, du, fsck, rm
from raysurf.cli.tables import best, compare, export, table
from raysurf.cli.wandb import dashboard, sync
from raysurf.errors import RaysurfError, SpecError
from raysurf.packages import missing
from raysurf.redaction import redact
from raysurf.wording import counted


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="raysurf")
def cli() -> None:
    """Sweeps over neural-network loss surfaces on a Ray cluster: SWA, curves, noise, planes, and tables of all of it.

    Start with: raysurf run quickstart
    """


COMMANDS = (
    check,
    run,
    submit,
    status,
    list_jobs,
    logs,
    stop,
    table,
    best,
    compare,
    export,
    plot,
    report,
    why,
    diff,
    compact,
    fsck,
    rm,
    du,
    sync,
    dashboard,
    list_examples,
    print_schema,
    help_on,
)
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line and end the process: 0 when done, 1 if a trial failed, 2 for a mistake of the user.

    The process ends without tearing native libraries down: threads of Arrow's scanner that are still about then abort
    it now and then, after all work was done (arrow#34314).
    """
    _open_streams()
    code = _run()
    if code in (129, 130, 143):
        # W&B's own process got the signal too, so its exit handlers fail.
        sys.unraisablehook = lambda _: None
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _open_streams() -> None:
    """Open closed standard streams (``>&-``) on the null device, so that no file opened later takes their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)
            if nowhere > 2:
                os.close(nowhere)
            setattr(sys, name, open(number, "w" if number else "r"))  # noqa: SIM115  # until the end


def _run() -> int:
    try:
        with printed_warnings():
            code = cli.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        return 130
    except KeyboardInterrupt:
        echo("stopped; what is finished is kept. Run the same command again to resume.", err=True)
        return 130
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        echo(said.getvalue(), err=True, nl=False)
        return 2
    except SpecError as error:
        echo(f"{counted(len(error.faults), 'fault')}; nothing was started, nothing written:", err=True)
        for fault in error.faults:
            echo(f"  {fault}", err=True)
        return 2
    except RaysurfError as error:
        echo(f"error: {redact(str(error))}", err=True)
        return 2
    except BrokenPipeError:
        return 0
    except ModuleNotFoundError as error:
        absent = missing(error, " ".join(["raysurf", *sys.argv[1:2]]))
        if absent is None:
            return _bug()
        echo(f"error: {absent}", err=True)
        return 2
    except Exception:
        return _bug()


def _bug() -> int:
    """Print the traceback of the current exception."""
    echo(redact(traceback.format_exc()), err=True, nl=False)
    return 1


if __name__ == "__main__":
    main()
