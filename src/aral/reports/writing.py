"""The files of a report: pages, pictures and tables, each put in its place as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from aral.annotation import Estimate
from aral.errors import RunFailed
from aral.reports.comparison import REPORT_NAME, Section, comparison_page
from aral.reports.curves import learning_curves, png_bytes, svg_bytes
from aral.reports.html import report_page
from aral.reports.record import RunRecord, read_run
from aral.reports.tables import check_comparable, csv_text, json_text, side_by_side, tidy_rows
from aral.reports.verdict_words import verdict_lines, verdicts_csv, verdicts_json
from aral.reports.verdicts import judge


def write_report(folder: Path, reference: float | None = None, estimate: Estimate | None = None) -> Path:
    """Write report.html, curve.png, curve.svg, rounds.csv and rounds.json into a run folder.

    Args:
        folder: the folder of a run, finished or running; a process may hold it.
        reference: accuracy of training on all labels, in [0, 1], drawn as a line.
        estimate: of a labelling project the newest accuracy on its estimate slice.

    Returns:
        The page. The pictures of the curve are missing until an accuracy is known.

    Raises:
        BadInput: the folder holds no run, or a damaged one.
        RunFailed: the files cannot be written.
    """
    record = read_run(folder)
    files = {
        **_curve_files("curve", [record], reference),
        **_row_files("rounds", [record]),
        REPORT_NAME: report_page(record, reference, estimate).encode(),
    }
    _write(folder, files)
    return folder / REPORT_NAME


def write_comparison(
    folders: Sequence[Path],
    target: Path,
    reference: float | None = None,
    sections: Sequence[Section] = (),
    baseline: str | None = None,
    targets: Sequence[float] = (),
) -> Path:
    """Write comparison.html, .txt, .csv and .json, verdicts.csv and .json, curves.png and .svg.

    Args:
        folders: run folders on one data set.
        target: the folder to write into; it is made if it is missing. Runs that have a report are linked.
        reference: accuracy of training on all labels, in [0, 1], drawn as a line.
        sections: further findings for the page.
        baseline: the method the others are compared with; see :func:`aral.reports.verdicts.judge`.
        targets: accuracies, in (0, 1], for which to count the labels needed.

    Returns:
        The page.

    Raises:
        BadInput: a folder holds no run, the data sets differ, two runs are of one method and seed, no run is
            of the baseline, or a target is not an accuracy.
        RunFailed: the files cannot be written.
    """
    records = [read_run(folder) for folder in folders]
    check_comparable(records)
    verdicts = judge(records, baseline, targets)
    files = {
        **_curve_files("curves", records, reference),
        **_row_files("comparison", records),
        "comparison.txt": f"{side_by_side(records)}\n\n{verdict_lines(verdicts)}\n".encode(),
        "comparison.html": comparison_page(records, target, verdicts, reference, sections).encode(),
        "verdicts.csv": verdicts_csv(verdicts).encode(),
        "verdicts.json": verdicts_json(verdicts).encode(),
    }
    _write(target, files)
    return target / "comparison.html"


def _curve_files(name: str, records: Sequence[RunRecord], reference: float | None) -> dict[str, bytes]:
    figure = learning_curves(records, reference)
    if figure is None:
        return {}
    return {f"{name}.png": png_bytes(figure), f"{name}.svg": svg_bytes(figure)}


def _row_files(name: str, records: Sequence[RunRecord]) -> dict[str, bytes]:
    rows = tidy_rows(records)
    return {f"{name}.csv": csv_text(rows).encode(), f"{name}.json": json_text(rows).encode()}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put each file in its place in one step, so that nobody ever opens half of one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            partial = folder / f".{name}.{uuid4().hex}.partial"
            try:
                partial.write_bytes(content)
                partial.replace(folder / name)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise RunFailed(
            f"The report cannot be written to {folder}: {error}.", "Free some space or check the permissions."
        ) from error
