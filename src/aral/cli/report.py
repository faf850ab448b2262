"""``aral report``: write the report of one run, or compare several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from aral.cli.options import AsJson
from aral.reports import as_json as record_as_json
from aral.reports import (
    export_tensorboard,
    judge,
    read_run,
    side_by_side,
    verdict_lines,
    write_comparison,
    write_report,
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("report")(report_command)


def report_command(
    folders: Annotated[list[Path], typer.Argument(help="One run folder, or several to compare.")],
    target: Annotated[Path, typer.Option(help="Where a comparison goes.")] = Path("comparison"),
    baseline: Annotated[str | None, typer.Option(help="Method to compare the others with.")] = None,
    accuracy: Annotated[
        list[float] | None,
        typer.Option(help="Target in %: how many labels does it take? May be given again."),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Also export the numbers of each run to this TensorBoard folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write report.html, curve.png and tables; works while a run is still going.

    Several runs are compared: curves with confidence bands, and whether a method is better than random.
    """
    targets = tuple(value / 100 for value in accuracy or ())
    path = (
        write_report(folders[0])
        if len(folders) == 1
        else write_comparison(folders, target, baseline=baseline, targets=targets)
    )
    if tensorboard is not None:
        for folder in folders:
            export_tensorboard(folder, tensorboard)
    records = [read_run(folder) for folder in folders]
    if as_json:
        typer.echo(json.dumps([record_as_json(record) for record in records], indent=2))
        return
    typer.echo(side_by_side(records))
    if len(records) > 1:
        typer.echo(f"\n{verdict_lines(judge(records, baseline, targets))}\n")
    typer.echo(f"Report: {path}")
