"""The comparison of several runs on one data set as one offline HTML page.

Further findings can be passed in as sections; the page does not need to know how they were computed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from aral.reports.curves import learning_curves
from aral.reports.html import chart, render
from aral.reports.record import RunRecord
from aral.reports.summary import duration
from aral.reports.tables import Table, comparison_table, curve_points, curve_rows
from aral.reports.verdict_page import verdict_part
from aral.reports.verdict_rows import Verdicts
from aral.words import counted

REPORT_NAME = "report.html"


@dataclass(frozen=True)
class Section:
    """A part of the page that others have computed.

    Attributes:
        title: its heading.
        text: what the numbers mean, as plain text.
        table: the numbers.
    """

    title: str
    text: str
    table: Table


@dataclass(frozen=True)
class RunLine:
    """One run of a method; the link is empty if the run has no report yet."""

    name: str
    link: str
    seed: int
    labelled: int
    accuracy: str
    time: str


def comparison_page(
    records: Sequence[RunRecord],
    target: Path,
    verdicts: Verdicts,
    reference: float | None = None,
    sections: Sequence[Section] = (),
) -> str:
    """The comparison as HTML.

    Args:
        records: runs that passed :func:`aral.reports.tables.check_comparable`.
        target: the folder the page will lie in; links to the runs' own reports start from there.
        verdicts: whether the methods are better than their baselines; comes first.
        reference: accuracy of training on all labels, in [0, 1].
        sections: further findings, shown after the table of accuracies.
    """
    methods: dict[str, list[RunLine]] = {}
    for record in records:
        methods.setdefault(record.method, []).append(_run_line(record, target))
    return render(
        "comparison.html.j2",
        title=records[0].data_title,
        verdicts=verdict_part(verdicts),
        methods=methods,
        curves=chart(lambda theme: learning_curves(records, reference, theme), curves_in_words(records)),
        accuracies=comparison_table(records),
        sections=sections,
    )


def curves_in_words(records: Sequence[RunRecord]) -> str:
    """The ends of the learning curves for people who do not see them."""
    ends = {point.method: point for point in curve_points(curve_rows(records))}
    words = [
        f"{method} {100 * end.mean:.1f} % with {counted(end.labelled, 'label')}"
        for method, end in ends.items()
    ]
    return f"Learning curves, test accuracy at their ends: {'; '.join(words)}."


def report_link(folder: Path, target: Path) -> str:
    """The address of a run's report as seen from the target folder; empty if it has none."""
    report = folder.resolve() / REPORT_NAME
    if not report.is_file():
        return ""
    return quote(Path(os.path.relpath(report, target.resolve())).as_posix(), safe="/")


def _run_line(record: RunRecord, target: Path) -> RunLine:
    last = record.last_evaluated
    return RunLine(
        name=record.name,
        link=report_link(record.folder, target),
        seed=record.seed,
        labelled=record.rounds[-1].labelled if record.rounds else 0,
        accuracy="–" if last is None or last.accuracy is None else f"{100 * last.accuracy:.2f}",
        time=duration(record.seconds),
    )
