"""What is written and printed after a grid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from aral import benchmarking, reports
from aral.cli.printing import say
from aral.errors import BadInput, RunFailed, Stopped
from aral.plural import counted


def report_grid(
    result: benchmarking.GridResult,
    baseline: str | None = None,
    targets: Sequence[float] = (),
    csv_file: Path | None = None,
    metric: str = "accuracy",
) -> tuple[benchmarking.Comparison | None, Path | None]:
    """Compare the runs of a grid and write the reports of the grid and of its runs.

    Args:
        result: of the grid.
        baseline: method the others are compared with.
        targets: accuracies in (0, 1] for which to count labels.
        csv_file: also gets the mean learning curves.
        metric: what is compared.

    Returns:
        The comparison and its page; None for both if no unit has begun.
    """
    comparison = benchmarking.compare_grid(result, baseline, targets, metric)
    if comparison is None:
        return None, None
    for record in comparison.records:
        reports.write_report(record, result.reference)
    page = reports.write_comparison(comparison, result.folder)
    if csv_file is not None:
        reports.write_files(csv_file.parent, {csv_file.name: reports.curves_csv(comparison).encode()})
    return comparison, page


def track_units(
    result: benchmarking.GridResult, trackers: Sequence[reports.TrackerName], base: Path | None
) -> None:
    """Write the finished units of a grid into trackers, those that are not there yet.

    Args:
        result: of the grid.
        trackers: their names.
        base: gets a folder for each tracker; None: the folder of the grid.
    """
    for unit in (*result.units, *result.full) if trackers else ():
        if unit.state is not benchmarking.State.DONE:
            continue
        record = benchmarking.read_run(result.folder / unit.name)
        for name in trackers:
            reports.export_record(record, name, base or result.folder)


def print_comparison(comparison: benchmarking.Comparison | None, page: Path | None) -> None:
    """Print accuracies, verdicts, labels needed, the conditions of the runs, and where the report is."""
    if comparison is None:
        return
    say(reports.comparison_text(comparison))
    say("\n".join(["", *reports.condition_lines(comparison), f"Report: {page}"]))


def as_table(
    result: benchmarking.GridResult, comparison: benchmarking.Comparison | None, page: Path | None
) -> dict[str, object]:
    """The result of a grid as JSON: the comparison, the specification, and how each unit ended."""
    return {
        **({} if comparison is None else reports.comparison_json(comparison)),
        "grid": json.loads(result.grid.model_dump_json()),
        "folder": str(result.folder),
        "report": None if page is None else str(page),
        "units": [asdict(unit) for unit in result.units],
        "full": [asdict(unit) for unit in result.full],
        "reference": result.reference,
    }


def check_result(result: benchmarking.GridResult) -> None:
    """Turn a stop or failures into an exit code, after everything has been written.

    Raises:
        Stopped: the grid was stopped.
        BadInput: units failed, all of them for wrong input.
        RunFailed: units failed.
    """
    if result.stopped:
        raise Stopped(
            "Stopped; everything is saved.", "Run the same command again to resume: finished units are kept."
        )
    if result.failures:
        kind = BadInput if all(unit.code == BadInput.exit_code for unit in result.failures) else RunFailed
        first = result.failures[0]
        raise kind(
            f"{len(result.failures)} of {counted(len(result.units) + len(result.full), 'unit')} failed; the first: "
            f"{first.name}: {first.problem}",
            "Correct the cause and run the same command again: finished units are kept.",
        )
