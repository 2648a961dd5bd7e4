"""``raysurf schema``."""

from __future__ import annotations

import json

import click

from raysurf.cli.output import echo


@click.command("schema")
def print_schema() -> None:
    """Print the JSON schema of sweep files, by which editors complete and check them."""
    from raysurf.sweep.json_schema import json_schema

    echo(json.dumps(json_schema(), indent=1))
