"""Tables of a comparison: text in rows and columns, with a note on each column where it needs one.

Nothing is computed here; the numbers come from :class:`aral.benchmarking.Comparison`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aral.benchmarking import (
    ACCURACY,
    METRICS,
    MINIMUM_SEEDS,
    POOLED_BELOW,
    RECALL,
    SIGNIFICANCE,
    Comparison,
    CurvePoint,
    EndRow,
    FullTrainingResult,
    Measure,
    Parity,
    RunRecord,
    TTest,
    VerdictRow,
)
from aral.reports.text import (
    NONE,
    full_training_in_words,
    needed_in_words,
    percent,
    points,
    saved_in_words,
)

MOST_CLASSES = 30
"""With more classes than this, tables have the classes of lowest recall."""


@dataclass(frozen=True)
class Table:
    """Text in rows and columns; the first column heads the rows.

    Attributes:
        head: one text for each column.
        rows: as many texts each.

    Raises:
        ValueError: a row has another number of texts.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"a row of {len(row)} cells under {len(self.head)} heads")

    def plain_text(self) -> str:
        """The table in columns of fixed width, aligned to the right, without trailing blanks."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        rule = tuple("-" * width for width in widths)
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in [self.head, rule, *self.rows]
        )


@dataclass(frozen=True)
class ColumnNote:
    """One sentence on a column."""

    column: str
    sentence: str


@dataclass(frozen=True)
class Section:
    """A table with its title and explanation.

    Attributes:
        title: its heading.
        text: what the numbers mean, as plain text; may be empty.
        table: the numbers.
        notes: on single columns.
    """

    title: str
    text: str
    table: Table
    notes: tuple[ColumnNote, ...] = ()


def accuracy_table(curves: Sequence[CurvePoint]) -> Table:
    """Test accuracy in per cent: a column for each method, a row for each number of labels, a dash if unknown.

    Where a method has several seeds, a cell reads ``mean ± sample standard deviation (seeds)``.
    """
    methods = tuple(dict.fromkeys(point.method for point in curves))
    cells = {(point.method, point.labelled): _accuracy_cell(point) for point in curves}
    return Table(
        ("labels", *methods),
        tuple(
            (str(labelled), *(cells.get((method, labelled), NONE) for method in methods))
            for labelled in sorted({point.labelled for point in curves})
        ),
    )


def _accuracy_cell(point: CurvePoint) -> str:
    mean = f"{100 * point.mean:.2f}"
    return mean if point.deviation is None else f"{mean} ± {100 * point.deviation:.2f} ({point.seeds})"


# Metrics at the end


def end_table(comparison: Comparison) -> Table:
    """Metrics of each method in the last round of its runs, in per cent; no rows where only the accuracy is known."""
    rows = [row for row in comparison.ends if row.metric in METRICS]
    if all(row.metric == ACCURACY for row in rows):
        return Table(("method", "labels", *METRICS), ())
    cells = {(row.method, row.metric): row for row in rows}
    return Table(
        ("method", "labels", *METRICS),
        tuple(
            (
                method,
                _labels_cell(cells[method, ACCURACY]),
                *(_end_cell(cells.get((method, metric))) for metric in METRICS),
            )
            for method in comparison.methods
            if (method, ACCURACY) in cells
        ),
    )


def metric_sections(comparison: Comparison) -> list[Section]:
    """Metrics and recalls at the end of the runs; tables without rows are left out."""
    text = (
        "In the last evaluated round of each run, in per cent; with several seeds: mean ± standard deviation (seeds). "
        "Balanced accuracy: the mean recall of the classes. Macro F1: the mean F1 of the classes."
    )
    recalls = _recalls(comparison)
    sections = [Section("Metrics at the end", text, end_table(comparison)), recalls]
    return [section for section in sections if section.table.rows]


def _recalls(comparison: Comparison) -> Section:
    """A row for each class, those of lowest recall where there are many."""
    cells = {(row.metric, row.method): row for row in comparison.ends if row.metric.startswith(RECALL)}
    names = list(dict.fromkeys(name for name, _ in cells))
    shown = names
    text = "Share of the test images of a class that is classified correctly, in the last evaluated round."
    if len(names) > MOST_CLASSES:
        means = {name: [row.mean for (metric, _), row in cells.items() if metric == name] for name in names}
        shown = sorted(names, key=lambda name: sum(means[name]) / len(means[name]))[:MOST_CLASSES]
        text += f" Of {len(names)} classes, the {MOST_CLASSES} of lowest mean recall."
    rows = tuple(
        (name.removeprefix(RECALL), *(_end_cell(cells.get((name, method))) for method in comparison.methods))
        for name in shown
    )
    return Section("Recall by class", text, Table(("class", *comparison.methods), rows))


def _labels_cell(row: EndRow) -> str:
    first, last = row.labelled
    return str(last) if first == last else f"{first} to {last}"


def _end_cell(row: EndRow | None) -> str:
    if row is None:
        return NONE
    mean = f"{100 * row.mean:.2f}"
    return mean if row.deviation is None else f"{mean} ± {100 * row.deviation:.2f} ({row.seeds})"


# The numbers behind the verdicts


def number_sections(comparison: Comparison) -> list[Section]:
    """The numbers behind the verdicts; tables without rows are left out."""
    sections = (_differences(comparison), _targets(comparison), _areas(comparison), _wins(comparison))
    return [section for section in sections if section.table.rows]


def _differences(comparison: Comparison) -> Section:
    head = (
        "method", "baseline", "measure", "seeds", "mean", "s.d.", "degrees of freedom", "95 % interval", "p",
        "corrected p", "paired s.d.", "paired 95 % interval", "paired p", "corrected paired p",
    )  # fmt: skip
    notes = (
        ColumnNote(
            "measure",
            f"the area is the mean {comparison.metric} along the curve, the final {comparison.metric} that at its end.",
        ),
        ColumnNote("mean", "method minus baseline in percentage points, averaged over the seeds."),
        ColumnNote(
            "s.d.",
            f"standard deviation of a difference, in percentage points, by which the verdict is decided: below "
            f"{POOLED_BELOW} seeds pooled over methods and seeds, unless a method's own is significantly larger; "
            "otherwise that of the paired differences.",
        ),
        ColumnNote(
            "degrees of freedom",
            "of this deviation; fewer where a method of a larger deviation could go unnoticed.",
        ),
        ColumnNote("95 % interval", "confidence interval of the mean difference, by Student's t."),
        ColumnNote("p", "p-value of the two-sided t-test."),
        ColumnNote("corrected p", "p after Holm's correction for the number of methods; verdicts use it."),
        ColumnNote(
            "paired s.d.",
            "sample standard deviation of the paired differences of this method alone; interval and p-values beside it "
            "are those of the paired t-test. They decide where nothing is pooled, and the columns before are the same.",
        ),
    )
    rows = tuple(_difference_row(row, comparison.metric) for row in comparison.verdicts)
    return Section("Paired differences", "", Table(head, rows), notes)


def _difference_row(row: VerdictRow, metric: str) -> tuple[str, ...]:
    measure = "area" if row.measure is Measure.AREA else f"final {metric}"
    head = (row.method, row.baseline, measure, str(len(row.seeds)))
    if row.test is None:
        return (*head, *10 * (NONE,))
    degrees = NONE if row.deciding is None else f"{row.deciding.degrees_of_freedom:.3g}"
    deciding = _t_test_cells(row.deciding, row.corrected_p)
    paired = _t_test_cells(row.test.t_test, row.corrected_t_p)
    return (*head, points(row.test.mean), deciding[0], degrees, *deciding[1:], *paired)


def _t_test_cells(test: TTest | None, corrected_p: float | None) -> tuple[str, ...]:
    """Deviation, interval, p and corrected p."""
    if test is None:
        return 4 * (NONE,)
    interval = f"{points(test.interval.low)} to {points(test.interval.high)}"
    return (f"{100 * test.deviation:.2f}", interval, _p(test.p), _p(corrected_p))


def _p(value: float | None) -> str:
    if value is None:
        return NONE
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _targets(comparison: Comparison) -> Section:
    target = f"target {comparison.metric}, %"
    head = (
        "method", target, "labels needed", "labels needed by the baseline", "labels saved",
        "runs reaching it", "baseline runs reaching it",
    )  # fmt: skip
    notes = (
        ColumnNote(target, "the first one is the baseline's own at the end."),
        ColumnNote(
            "labels needed",
            "where the mean curve of the shared seeds first reaches the target, interpolated between rounds.",
        ),
        ColumnNote("labels saved", "labels needed by the baseline minus labels needed by the method."),
        ColumnNote("runs reaching it", "single runs that reach the target, because a mean hides the others."),
    )
    rows = tuple(
        (
            row.method,
            f"{100 * row.target:.2f}",
            needed_in_words(row.needed),
            needed_in_words(row.baseline_needed),
            saved_in_words(row.saved),
            f"{row.runs_reaching} of {row.seeds}",
            f"{row.baseline_runs_reaching} of {row.seeds}",
        )
        for row in comparison.targets
    )
    return Section(f"Labels needed for a target {comparison.metric}", "", Table(head, rows), notes)


def _areas(comparison: Comparison) -> Section:
    final = f"final {comparison.metric}, %"
    rows = tuple(
        (row.run, row.method, str(row.seed), f"{row.first} to {row.last}", percent(row.area), percent(row.final))
        for row in comparison.runs
    )  # fmt: skip
    notes = (
        ColumnNote("labels", f"first and last number of labels with a known {comparison.metric}."),
        ColumnNote(
            "area, %",
            f"area under the learning curve by trapezoids, divided by its range of labels: a mean {comparison.metric}.",
        ),
        ColumnNote(final, "its value with the last number of labels."),
    )
    head = ("run", "method", "seed", "labels", "area, %", final)
    return Section("Area under the learning curve of each run", "", Table(head, rows), notes)


def _wins(comparison: Comparison) -> Section:
    wins = comparison.wins
    compared = any(value is not None for shares in wins.shares for value in shares)
    rows = zip(wins.methods, wins.shares, strict=True) if compared else ()
    text = (
        "Share of the numbers of labels at which the method of the row is significantly better than that of the "
        f"column: paired t-test over at least {MINIMUM_SEEDS} seeds, p below {SIGNIFICANCE:g}, not corrected."
    )
    return Section(
        "Pairwise penalty matrix",
        text,
        Table(("method", *wins.methods), tuple((method, *map(_share, row)) for method, row in rows)),
    )


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


# The conditions of the runs


def condition_sections(comparison: Comparison) -> list[Section]:
    """Equal conditions, differences from the paper, settings, full training, validation, and failures."""
    sections, conditions = [], comparison.conditions
    if conditions.parity:
        sections.append(_parity(conditions.parity))
    if conditions.differences:
        rows = tuple((each.what, each.paper, each.here) for each in conditions.differences)
        sections.append(
            Section(
                "Differences from the paper",
                "All known differences between this experiment and the paper's.",
                Table(("what", "paper", "here"), rows),
            )
        )
    if conditions.method_settings:
        own = tuple((name, ", ".join(each)) for name, each in conditions.method_settings.items())
        text = "Settings that were changed for one method only."
        sections.append(Section("Settings of single methods", text, Table(("method", "settings"), own)))
    if conditions.full_training:
        sections.append(_full_training(conditions.full_training))
    validated = [record for record in comparison.records if _at_best(record) is not None]
    if validated:
        sections.append(_validation(validated))
    if conditions.failures:
        failed = tuple((unit.name, unit.problem) for unit in conditions.failures)
        text = "These runs failed and are missing above."
        sections.append(Section("Failed runs", text, Table(("run", "reason"), failed)))
    return sections


def _parity(seeds: Sequence[Parity]) -> Section:
    unequal = any(parity.differences for parity in seeds)
    text = (
        "These methods were NOT run under equal conditions: the differences listed here may explain a difference "
        "of accuracy. To compare the queries of one learner: aral compare DATASET --methods LEARNER+random,LEARNER"
        if unequal
        else "Within a seed, all methods had the same data, first labels, budget, training steps, pretraining "
        "steps, labelled batches and their augmentation, classifier, learning rates, precision, evaluation, and "
        "versions of aral and PyTorch; the hash covers all of these. What else a method trains, and on which other "
        "images, belongs to the method."
    )
    rows = tuple(
        (str(each.seed), each.hash or NONE, str(each.verified), "; ".join(each.differences) or "none")
        for each in seeds
    )
    return Section("Parity", text, Table(("seed", "hash", "runs verified", "differences"), rows))


def _full_training(full: FullTrainingResult) -> Section:
    rows = tuple((unit.name, percent(unit.accuracy), unit.state) for unit in full.units)
    text = f"Training on all labels of the pool, drawn as a horizontal line ({full_training_in_words(full)})."
    return Section("Full training", text, Table(("run", "accuracy, %", "state"), rows))


def _validation(records: Sequence[RunRecord]) -> Section:
    text = (
        "A share of the labels was kept from training for validation; it counts as spent. Test accuracy with the "
        "weights of the last step, and with the best ones on the validation labels. Curves show the last step."
    )
    rows = []
    for record in records:
        last = record.last_evaluated
        assert last is not None
        rows.append((record.name, str(last.labelled), percent(last.accuracy), percent(_at_best(record))))
    head = ("run", "labels", "last step, %", "best validation, %")
    return Section("Last step and best validation", text, Table(head, tuple(rows)))


def _at_best(record: RunRecord) -> float | None:
    last = record.last_evaluated
    return None if last is None else last.numbers.get("accuracy at best validation")
