"""``aral report``: write the report of one run, or compare several."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aral import benchmarking, reports
from aral.cli.grid_report import as_table, print_grid, records_of, verdicts_of, write_grid_report
from aral.cli.options import Accuracy, AsJson, Baseline, baseline_of, targets_of
from aral.errors import BadInput


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("report")(report_command)


def report_command(
    folders: Annotated[
        list[Path], typer.Argument(help="One run folder, several to compare, or the folder of a grid.")
    ],
    target: Annotated[Path, typer.Option(help="Where a comparison goes.")] = Path("comparison"),
    baseline: Baseline = None,
    accuracy: Accuracy = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Also export the numbers of each run to this TensorBoard folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write report.html, curve.png and tables; works while a run is still going.

    Several runs are compared: curves with confidence bands, and whether a method is better than random. The page
    of a grid also says what was equal, and has the line of full training.
    """
    targets = targets_of(accuracy)
    if len(folders) == 1 and benchmarking.is_grid(folders[0]):
        _report_grid(folders[0], baseline, targets, tensorboard, as_json)
        return
    records = [reports.read_run(folder) for folder in folders]
    baseline = baseline_of(baseline, (record.method for record in records))
    path = (
        reports.write_report(folders[0])
        if len(folders) == 1
        else reports.write_comparison(folders, target, baseline=baseline, targets=targets)
    )
    _export(folders, tensorboard)
    if as_json:
        typer.echo(json.dumps([reports.as_json(record) for record in records], indent=2))
        return
    typer.echo(reports.side_by_side(records))
    if len(records) > 1:
        verdicts = reports.judge(records, baseline, targets)
        typer.echo(
            "\n".join(
                ["", *filter(None, (reports.verdict_lines(verdicts), reports.target_lines(verdicts))), ""]
            )
        )
    typer.echo(f"Report: {path}")


def _report_grid(
    folder: Path, baseline: str | None, targets: Sequence[float], tensorboard: Path | None, as_json: bool
) -> None:
    result = benchmarking.read_result(folder)
    records = records_of(result)
    if not records:
        raise BadInput(f"No unit of {folder} is finished or running.", "Run its grid first: aral compare")
    baseline = baseline_of(baseline, (unit.method for unit in result.units))
    page, verdicts = write_grid_report(result, baseline, targets), verdicts_of(result, baseline, targets)
    _export([record.folder for record in records], tensorboard)
    if as_json:
        typer.echo(json.dumps(as_table(result, page, verdicts), indent=2))
    else:
        print_grid(result, page, verdicts)


def _export(folders: Sequence[Path], tensorboard: Path | None) -> None:
    if tensorboard is not None:
        for folder in folders:
            reports.export_tensorboard(folder, tensorboard)
