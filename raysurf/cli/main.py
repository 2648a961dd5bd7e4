"""The ``raysurf`` command: its subcommands, and how errors and interrupts end it."""

from __future__ import annotations

import sys

import click

from raysurf.cli.check import check
from raysurf.cli.run import run
from raysurf.cli.table import table
from raysurf.errors import RaysurfError, SpecError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="raysurf")
def cli() -> None:
    """Sweeps over neural-network loss surfaces on a Ray cluster: SWA, curves, noise, planes, and tables of all of it.

    Start with: raysurf run sweeps/quickstart.yaml
    """


for command in (check, run, table):
    cli.add_command(command)


def main() -> None:
    """Run the command line; exit 0 when done, 1 if a trial failed, 2 for the user's mistake."""
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        click.echo("stopped; what is finished is kept. Run the same command again to go on.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except SpecError as error:
        count = len(error.faults)
        click.echo(f"{count} {'fault' if count == 1 else 'faults'}; nothing was started, nothing written:", err=True)
        for fault in error.faults:
            click.echo(f"  {fault}", err=True)
        sys.exit(2)
    except RaysurfError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
