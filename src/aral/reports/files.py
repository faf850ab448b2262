"""The files of a report: HTML pages, pictures, CSV and JSON, each written atomically."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path

from matplotlib.figure import Figure

from aral.annotation.formats import escape_cell
from aral.benchmarking import (
    Comparison,
    Interval,
    LabelsNeeded,
    NotReached,
    Reached,
    ReachedAtStart,
    RunRecord,
    TargetRow,
    VerdictRow,
    curve_points,
)
from aral.durable import Json, write_file
from aral.errors import RunFailed
from aral.reports.curves import learning_curves, png_bytes, run_curve, svg_bytes
from aral.reports.html import REPORT_NAME, comparison_page, report_page
from aral.reports.project_runs import ProjectView
from aral.reports.tables import accuracy_table, end_table
from aral.reports.text import (
    metric_lines,
    needed_in_words,
    saved_in_words,
    target_lines,
    verdict_in_words,
    verdict_lines,
)


def write_report(record: RunRecord, reference: float | None = None, target: Path | None = None) -> Path:
    """Write report.html, curve.png, curve.svg, rounds.csv and rounds.json into the folder of a run.

    Args:
        record: of a run, finished or running; see :func:`aral.benchmarking.read_run`.
        reference: accuracy of training on all labels, in [0, 1], drawn as a line.
        target: another folder than that of the run, which may be read only.

    Returns:
        The page. The pictures of the curve are missing until an accuracy is known.

    Raises:
        RunFailed: the files cannot be written.
    """
    files = {
        **_curve_files("curve", run_curve(record, reference)),
        "rounds.csv": rounds_csv([record]).encode(),
        "rounds.json": rounds_json([record]).encode(),
        REPORT_NAME: report_page(record, reference).encode(),
    }
    folder = record.folder if target is None else target
    write_files(folder, files)
    return folder / REPORT_NAME


def write_report_page(record: RunRecord, target: Path) -> list[str]:
    """Write report.html of a run into another folder; its name.

    Raises:
        RunFailed: it cannot be written.
    """
    write_files(target, {REPORT_NAME: report_page(record).encode("utf-8", "replace")})
    return [REPORT_NAME]


def write_project_report(record: RunRecord, project: ProjectView, folder: Path) -> Path:
    """Write report.html of a project's run into a folder of its own; the run folder is not changed.

    Raises:
        RunFailed: it cannot be written.
    """
    write_files(folder, {REPORT_NAME: report_page(record, project=project).encode("utf-8", "replace")})
    return folder / REPORT_NAME


def write_comparison(comparison: Comparison, target: Path) -> Path:
    """Write comparison.html, .txt, .csv and .json, verdicts.csv and .json, curves.csv, .png and .svg.

    comparison.csv and .json hold every metric of every round; verdicts.json everything that was computed from
    them; curves.csv the mean learning curves.

    Args:
        comparison: what to write.
        target: the folder to write into; made if missing. Runs that have a report are linked.

    Returns:
        The page.

    Raises:
        RunFailed: the files cannot be written.
    """
    files = {
        **_curve_files("curves", learning_curves(comparison)),
        "curves.csv": curves_csv(comparison).encode(),
        "comparison.csv": rounds_csv(comparison.records).encode(),
        "comparison.json": rounds_json(comparison.records).encode(),
        "comparison.txt": f"{comparison_text(comparison)}\n".encode(),
        "comparison.html": comparison_page(comparison, target).encode(),
        "verdicts.csv": verdicts_csv(comparison).encode(),
        "verdicts.json": (
            json.dumps(comparison_json(comparison), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        ).encode(),
    }
    write_files(target, files)
    return target / "comparison.html"


def _curve_files(name: str, figure: Figure | None) -> dict[str, bytes]:
    return {f"{name}.png": png_bytes(figure), f"{name}.svg": svg_bytes(figure)} if figure else {}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, each in one step, so that no reader ever finds half a file.

    Args:
        folder: made if missing.
        files: contents by name.

    Raises:
        RunFailed: they cannot be written; old files stay as they are.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_file(folder / name, content)
    except OSError as error:
        raise RunFailed(
            f"The report cannot be written to {folder}: {error}.", "Free some space or check the permissions."
        ) from error


# Text


def side_by_side(records: Sequence[RunRecord]) -> str:
    """Test accuracy of runs by number of labels as plain text; see :func:`aral.reports.tables.accuracy_table`."""
    return accuracy_table(curve_points(records)).plain_text()


def comparison_text(comparison: Comparison) -> str:
    """The table of accuracies, other metrics, the verdicts, and the labels needed, as plain text."""
    table = accuracy_table(comparison.curves).plain_text()
    metrics = end_table(comparison)
    others = [metrics.plain_text()] if metrics.rows else []
    parts = [metric_lines(comparison), [table], others, verdict_lines(comparison), target_lines(comparison)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


# CSV and JSON

ROUND_NAMES = ("run", "seed", "method", "round", "n_labelled", "metric", "value")


def _round_rows(records: Iterable[RunRecord]) -> list[dict[str, Json]]:
    """Every metric at the end of every round, one a row; the traces of losses stay in the store."""
    return [
        dict(
            zip(
                ROUND_NAMES,
                (record.name, record.seed, record.method, each.round, each.labelled, metric, value),
                strict=True,
            )
        )
        for record in records
        for each in record.rounds
        for metric, value in sorted(each.metrics.items())
    ]


def rounds_csv(records: Iterable[RunRecord]) -> str:
    """Every metric of every round as CSV; numbers are written so that they read back exactly."""
    return csv_text(ROUND_NAMES, _round_rows(records))


def rounds_json(records: Iterable[RunRecord]) -> str:
    """The same as a JSON list of objects; a value that is not finite is null, as JSON has no such number."""
    rows = _round_rows(records)
    for row in rows:
        value = row["value"]
        row["value"] = value if isinstance(value, float) and math.isfinite(value) else None
    return json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


CURVE_NAMES = ("method", "labels", "mean", "sd", "low", "high", "seeds")


def curves_csv(comparison: Comparison) -> str:
    """The mean learning curves as CSV: mean, standard deviation and 95 % interval of the accuracy, in [0, 1]."""
    rows = [
        (
            point.method,
            point.labelled,
            point.mean,
            point.deviation,
            *((point.interval.low, point.interval.high) if point.interval else (None, None)),
            point.seeds,
        )
        for point in comparison.curves
    ]
    return csv_text(CURVE_NAMES, [dict(zip(CURVE_NAMES, row, strict=True)) for row in rows])


VERDICT_NAMES = (
    "method", "baseline", "measure", "verdict", "words", "seeds", "first_labelled", "last_labelled", "mean",
    "deviation", "degrees_of_freedom", "low", "high", "p", "corrected_p", "pooled_runs", "not_pooled", "outlying",
    "uneven",
    "paired_deviation", "paired_low", "paired_high", "t_p", "corrected_t_p", "seeds_needed", "different_starts",
    "unpaired", "metric",
)  # fmt: skip


def verdicts_csv(comparison: Comparison) -> str:
    """The verdicts as CSV, one row for each method and measure; an unknown value is an empty field."""
    return csv_text(VERDICT_NAMES, [_verdict_row(row, comparison.metric) for row in comparison.verdicts])


def _verdict_row(row: VerdictRow, metric: str) -> dict[str, Json]:
    deciding, paired = row.deciding, row.test.t_test if row.test else None
    values: Sequence[Json] = (
        row.method, row.baseline, row.measure.value, row.verdict.value, verdict_in_words(row),
        " ".join(str(seed) for seed in row.seeds),
        *(row.span or (None, None)),
        row.test.mean if row.test else None,
        *(
            (deciding.deviation, deciding.degrees_of_freedom, *_ends(deciding.interval), deciding.p)
            if deciding
            else 5 * (None,)
        ),
        row.corrected_p, len(row.pooled_over), " ".join(row.not_pooled), " ".join(row.outlying), " ".join(row.uneven),
        *((paired.deviation, *_ends(paired.interval), paired.p) if paired else 4 * (None,)),
        row.corrected_t_p, row.seeds_needed,
        " ".join(str(seed) for seed in row.different_starts), " ".join(str(seed) for seed in row.unpaired),
        metric,
    )  # fmt: skip
    return dict(zip(VERDICT_NAMES, values, strict=True))


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def csv_text(names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Named values as CSV (RFC 4180, lines ended by a line feed); None gives an empty field, and no cell is a
    formula to a spreadsheet."""
    buffer = StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {name: escape_cell(value) if isinstance(value, str) else value for name, value in row.items()}
        )
    return buffer.getvalue()


def comparison_json(comparison: Comparison) -> dict[str, Json]:
    """Everything that a comparison found, as a JSON object; an unknown value is null."""
    conditions = comparison.conditions
    full = conditions.full_training
    return {
        "data": comparison.data,
        "metric": comparison.metric,
        "methods": list(comparison.methods),
        "seeds": list(comparison.seeds),
        "verdicts": [
            {
                **_verdict_row(row, comparison.metric),
                "differences": list(row.test.differences) if row.test else [],
            }
            for row in comparison.verdicts
        ],
        "targets": [_target_row(row) for row in comparison.targets],
        "without_baseline": list(comparison.without_baseline),
        "metrics": [asdict(row) for row in comparison.ends],
        "curves": [asdict(point) for point in comparison.curves],
        "runs": [asdict(row) for row in comparison.runs],
        "wins": asdict(comparison.wins),
        "parity": [asdict(parity) for parity in conditions.parity],
        "full_training": None if full is None else asdict(full),
        "differences": [asdict(each) for each in conditions.differences],
        "failures": [asdict(unit) for unit in conditions.failures],
    }


def _target_row(row: TargetRow) -> dict[str, Json]:
    return {
        "method": row.method,
        "baseline": row.baseline,
        "target": row.target,
        "seeds": row.seeds,
        "needed": _needed(row.needed),
        "baseline_needed": _needed(row.baseline_needed),
        "saved": {"low": _finite(row.saved.low), "high": _finite(row.saved.high)},
        "saved_words": saved_in_words(row.saved),
        "runs_reaching": row.runs_reaching,
        "baseline_runs_reaching": row.baseline_runs_reaching,
    }


def _needed(needed: LabelsNeeded) -> dict[str, Json]:
    known = {Reached: "reached", ReachedAtStart: "reached at the start", NotReached: "not reached"}
    return {"labels": needed.labels, "known": known[type(needed)], "words": needed_in_words(needed)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
