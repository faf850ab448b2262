"""``aral report``: write the report of one run, or compare several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from aral.cli.options import AsJson
from aral.reports import as_json as record_as_json
from aral.reports import read_run, side_by_side, write_comparison, write_report


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("report")(report_command)


def report_command(
    folders: Annotated[list[Path], typer.Argument(help="One run folder, or several to compare.")],
    target: Annotated[Path, typer.Option(help="Where a comparison goes.")] = Path("comparison"),
    as_json: AsJson = False,
) -> None:
    """Write report.html, curve.png and tables; works while a run is still going."""
    path = write_report(folders[0]) if len(folders) == 1 else write_comparison(folders, target)
    records = [read_run(folder) for folder in folders]
    if as_json:
        typer.echo(json.dumps([record_as_json(record) for record in records], indent=2))
        return
    typer.echo(side_by_side(records))
    typer.echo(f"Report: {path}")
