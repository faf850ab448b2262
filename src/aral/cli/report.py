"""``aral report``: the report of one run, or a comparison of several."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aral import benchmarking, reports
from aral.cli.grid_report import as_table, print_comparison, report_grid
from aral.cli.options import Accuracy, AsJson, Baseline, Metric, baseline_of, targets_of
from aral.cli.printing import say
from aral.errors import BadInput


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("report")(report_command)


def report_command(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, folders of grids, or folders that hold runs; several are compared."
        ),
    ],
    target: Annotated[
        Path, typer.Option(help="Where a comparison goes, or the report of a read-only run.")
    ] = Path("comparison"),
    baseline: Baseline = None,
    accuracy: Accuracy = None,
    metric: Metric = "accuracy",
    tensorboard: Annotated[
        Path | None, typer.Option(help="Also export the metrics of each run to this TensorBoard folder.")
    ] = None,
    table: Annotated[
        list[Path] | None,
        typer.Option(
            help="Also write accuracies and verdicts as a table for a paper: FILE.tex (LaTeX) or FILE.md (Markdown)."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run, or compare several runs; works while they are still running.

    The report of a run is report.html with curve.png and tables in its folder. Several runs, the runs of a grid, or
    all runs in a folder are compared: learning curves with confidence bands, and verdicts against a baseline.
    """
    targets = targets_of(accuracy)
    for file in table or ():
        reports.check_table_name(file)
    if len(folders) == 1 and benchmarking.is_grid(folders[0]):
        _report_grid(folders[0], baseline, targets, metric, tensorboard, table or (), as_json)
        return
    folders = [run for folder in folders for run in benchmarking.run_folders(folder)]
    records = [benchmarking.read_run(folder) for folder in folders]
    baseline = baseline_of(baseline, (record.method for record in records))
    if len(folders) == 1:
        is_writable = os.access(folders[0], os.W_OK, effective_ids=os.access in os.supports_effective_ids)
        if not is_writable:
            say(f"{folders[0]} is read only: its report is written to {target}.", err=True)
        page = reports.write_report(records[0], target=None if is_writable else target)
        comparison = benchmarking.compare_runs(records)
        text = reports.side_by_side(records)
    else:
        comparison = benchmarking.compare_runs(records, baseline, targets, metric=metric)
        page = reports.write_comparison(comparison, target)
        text = f"{reports.comparison_text(comparison)}\n"
    _export(folders, tensorboard)
    _write_tables(comparison, table or ())
    if as_json:
        say(json.dumps([reports.as_json(record) for record in records], indent=2))
    else:
        say(f"{text}\nReport: {page}")


def _report_grid(
    folder: Path,
    baseline: str | None,
    targets: Sequence[float],
    metric: str,
    tensorboard: Path | None,
    tables: Sequence[Path],
    as_json: bool,
) -> None:
    result = benchmarking.read_result(folder)
    baseline = baseline_of(baseline, (unit.method for unit in result.units))
    comparison, page = report_grid(result, baseline, targets, metric=metric)
    if comparison is None:
        raise BadInput(f"No unit of {folder} is finished or running.", "Run its grid first: aral compare")
    _export([record.folder for record in comparison.records], tensorboard)
    _write_tables(comparison, tables)
    if as_json:
        say(json.dumps(as_table(result, comparison, page), indent=2))
    else:
        print_comparison(comparison, page)


def _write_tables(comparison: benchmarking.Comparison, files: Sequence[Path]) -> None:
    for file in files:
        reports.write_files(file.parent, {file.name: reports.table_file(comparison, file)})
        say(f"Table: {file}", err=True)


def _export(folders: Sequence[Path], tensorboard: Path | None) -> None:
    if tensorboard is not None:
        for folder in folders:
            reports.export_tensorboard(folder, tensorboard)
