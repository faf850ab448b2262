"""Numbers of runs as rows: for curves, for people and for other programs."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO

import numpy as np

from aral.errors import BadInput
from aral.reports.record import RunRecord
from aral.reports.statistics import Interval, t_interval


@dataclass(frozen=True)
class CurveRow:
    """One point of one run: test accuracy, in [0, 1], of the classifier trained on so many labels."""

    method: str
    seed: int
    labelled: int
    accuracy: float


@dataclass(frozen=True)
class CurvePoint:
    """One point of a method over its seeds.

    Attributes:
        method: the method.
        labelled: the number of labels.
        mean: mean test accuracy over the seeds, in [0, 1].
        deviation: sample standard deviation over the seeds (n − 1 in the denominator), in the same unit; None
            for a single seed.
        seeds: how many seeds have reached this number of labels.
    """

    method: str
    labelled: int
    mean: float
    deviation: float | None
    seeds: int

    @property
    def interval(self) -> Interval | None:
        """The 95 % t-interval of the mean; None for a single seed."""
        return None if self.deviation is None else t_interval(self.mean, self.deviation, self.seeds)


@dataclass(frozen=True)
class TidyRow:
    """One number with all that identifies it; the value is NaN or infinite where the run's was."""

    run: str
    seed: int
    method: str
    round: int
    n_labelled: int
    metric: str
    value: float


def check_comparable(records: Sequence[RunRecord]) -> None:
    """Refuse what must not stand in one table.

    Raises:
        BadInput: there is no run, the runs are of different data sets (their notes count), or two of them
            are of the same method and seed.
    """
    if not records:
        raise BadInput("There is no run to compare.", "Give at least one run folder.")
    seen: dict[tuple[str, int], RunRecord] = {}
    for record in records:
        if record.data_title != records[0].data_title:
            raise BadInput(
                f"Run {records[0].folder} is on {records[0].data_title}, "
                f"but run {record.folder} on {record.data_title}.",
                "Compare runs on one data set at a time.",
            )
        twin = seen.setdefault((record.method, record.seed), record)
        if twin is not record:
            raise BadInput(
                f"Runs {twin.folder} and {record.folder} are both of {record.method}, seed {record.seed}.",
                "Leave one of them out.",
            )


def curve_rows(records: Iterable[RunRecord]) -> list[CurveRow]:
    """The points of learning curves, in the order of the runs and of their rounds."""
    return [
        CurveRow(record.method, record.seed, round_record.labelled, round_record.accuracy)
        for record in records
        for round_record in record.rounds
        if round_record.accuracy is not None
    ]


def curve_points(rows: Iterable[CurveRow]) -> list[CurvePoint]:
    """Means and deviations over seeds: methods in order of appearance, numbers of labels ascending.

    A number of labels that a seed reached twice counts with its last value.
    """
    methods: dict[str, dict[int, dict[int, float]]] = {}
    for row in rows:
        methods.setdefault(row.method, defaultdict(dict))[row.labelled][row.seed] = row.accuracy
    points = []
    for method, by_labels in methods.items():
        for labelled, by_seed in sorted(by_labels.items()):
            values = np.array(list(by_seed.values()))
            deviation = float(values.std(ddof=1)) if values.size > 1 else None
            points.append(CurvePoint(method, labelled, float(values.mean()), deviation, values.size))
    return points


@dataclass(frozen=True)
class Table:
    """Text in rows and columns; the first column heads the rows.

    Attributes:
        head: one text a column.
        rows: as many texts each.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"a row of {len(row)} cells under {len(self.head)} heads")

    def plain_text(self) -> str:
        """The table in columns of fixed width, numbers to the right, without blanks at the ends of lines."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        rule = tuple("-" * width for width in widths)
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in [self.head, rule, *self.rows]
        )


def comparison_table(records: Sequence[RunRecord]) -> Table:
    """Test accuracy in per cent: a column a method, a row a number of labels, a dash where there is none.

    Where a method has several seeds, a cell reads ``mean ± sample standard deviation (seeds)``.
    """
    points = curve_points(curve_rows(records))
    methods = tuple(dict.fromkeys(record.method for record in records))
    cells = {(point.method, point.labelled): _accuracy_text(point) for point in points}
    return Table(
        ("labels", *methods),
        tuple(
            (str(labelled), *(cells.get((method, labelled), "–") for method in methods))
            for labelled in sorted({point.labelled for point in points})
        ),
    )


def side_by_side(records: Sequence[RunRecord]) -> str:
    """The comparison of runs as plain text; see :func:`comparison_table`."""
    return comparison_table(records).plain_text()


def _accuracy_text(point: CurvePoint) -> str:
    mean = f"{100 * point.mean:.2f}"
    return mean if point.deviation is None else f"{mean} ± {100 * point.deviation:.2f} ({point.seeds})"


def tidy_rows(records: Iterable[RunRecord]) -> list[TidyRow]:
    """Every figure of the end of every round, one a row; traces of losses stay in the store."""
    return [
        TidyRow(
            record.name, record.seed, record.method, round_record.round, round_record.labelled, metric, value
        )
        for record in records
        for round_record in record.rounds
        for metric, value in sorted(round_record.numbers.items())
    ]


def csv_text(rows: Iterable[TidyRow]) -> str:
    """Rows as CSV, numbers so that they read back exactly."""
    return csv_lines([field.name for field in fields(TidyRow)], (asdict(row) for row in rows))


def csv_lines(names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Named values as CSV (RFC 4180, lines ended by a line feed); None gives an empty field."""
    buffer = StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def json_text(rows: Iterable[TidyRow]) -> str:
    """Rows as a JSON list of objects; JSON knows no NaN and no infinity, so such a value is null."""
    objects = [asdict(row) for row in rows]
    for entry in objects:
        if not math.isfinite(entry["value"]):
            entry["value"] = None
    return json.dumps(objects, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
