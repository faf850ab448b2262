"""``aral status``: the status of a project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from aral import annotation, web
from aral.annotation import Project
from aral.cli.options import AsJson


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("status")(status_command)


def status_command(
    folder: Annotated[Path, typer.Argument(help="The photos, or the project's folder.")],
    as_json: AsJson = False,
) -> None:
    """Show the progress of labelling and training, the accuracy estimate, and the address of the page."""
    with Project.open(folder) as project:
        found = annotation.status(project)
        if as_json:  # programs poll this: no login link is made for each
            page = web.url_of_running_server(project.folder)
            typer.echo(json.dumps({**found.facts, "page": page}, indent=2))
            return
        link = web.link_of_running_server(project.folder)
    for sentence in found.sentences:
        typer.echo(sentence)
    typer.echo(f"The page is open at {link}" if link else f"The page is not open: aral label {folder}")
