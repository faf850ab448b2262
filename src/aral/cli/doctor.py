"""``aral doctor``: check an installation and a project."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from aral import annotation
from aral.cli.options import AsJson


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("doctor")(doctor_command)


def doctor_command(
    folder: Annotated[Path | None, typer.Argument(help="A project, or its photos, to check as well.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check versions, memory, disk and, with a folder, its project.

    Exit code 1 when something prevents labelling or training.
    """
    checks = annotation.examine(folder)
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            typer.echo(f"{check.verdict:5}{check.name}: {check.found}")
            if check.hint:
                typer.echo(f"     {check.hint}")
    if any(check.verdict == "bad" for check in checks):
        raise typer.Exit(1)
