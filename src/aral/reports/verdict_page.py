"""The part of the comparison page that answers "better than random?": words, then tables, each explained."""

from __future__ import annotations

from dataclasses import dataclass

from aral.reports.statistics import LEVEL, MINIMUM_SEEDS, SIGNIFICANCE
from aral.reports.tables import Table
from aral.reports.verdict_rows import MARGIN, Measure, VerdictRow, Verdicts
from aral.reports.verdict_words import (
    NO_BASELINE,
    NONE,
    Answer,
    answer,
    needed_in_words,
    points,
    saved_in_words,
    seeds_in_words,
    share,
    short_name,
)

RULE = (
    f"Yes: over the seeds, the mean difference is above zero and the corrected p-value is below {SIGNIFICANCE:g}. "
    f"No: the same below zero, or the {100 * LEVEL:g} % interval lies within ± {100 * MARGIN:g} points. "
    f"Otherwise, and always with fewer than {MINIMUM_SEEDS} seeds, there is no telling."
)


@dataclass(frozen=True)
class Meaning:
    """One sentence on a column."""

    column: str
    sentence: str


@dataclass(frozen=True)
class Explained:
    """A table of numbers and what its columns say."""

    title: str
    table: Table
    meanings: tuple[Meaning, ...]


@dataclass(frozen=True)
class VerdictLine:
    """One method: the answers for the whole curve and for its end."""

    method: str
    baseline: str
    area: Answer
    final: Answer
    seeds: int
    needed: str


@dataclass(frozen=True)
class VerdictPart:
    """What the template shows.

    Attributes:
        question: the head of the column of answers.
        rule: how an answer is reached.
        lines: one a method that has a baseline.
        meanings: what the columns of the answers say.
        nothing: what to do if there is no line; else empty.
        unjudged: methods without a baseline.
        tables: the numbers behind.
    """

    question: str
    rule: str
    lines: tuple[VerdictLine, ...]
    meanings: tuple[Meaning, ...]
    nothing: str
    unjudged: tuple[str, ...]
    tables: tuple[Explained, ...]


def verdict_part(verdicts: Verdicts) -> VerdictPart:
    """The verdicts, ready to be shown."""
    names = {short_name(row.baseline) for row in verdicts.rows}
    against = names.pop() if len(names) == 1 else "the baseline"
    tables = (_differences(verdicts), _targets(verdicts), _areas(verdicts), _wins(verdicts))
    return VerdictPart(
        question=f"Better than {against}?",
        rule=RULE,
        lines=_lines(verdicts),
        meanings=_LINE_MEANINGS,
        nothing="" if verdicts.rows else NO_BASELINE,
        unjudged=verdicts.unjudged if verdicts.rows else (),
        tables=tuple(each for each in tables if each.table.rows),
    )


_LINE_MEANINGS = (
    Meaning("compared with", "the runs whose accuracies are subtracted, seed by seed."),
    Meaning("along the whole curve", "the answer for the area under the curve, the main measure."),
    Meaning("at the end", "the answer for the accuracy with the most labels that all these runs have."),
    Meaning("seeds", "how many seeds both have; runs of one seed start from the same first labels."),
    Meaning(
        "seeds that would settle it",
        "an estimate for the whole curve: so many seeds would give an answer in four of five repetitions if "
        "mean and deviation stay as they are.",
    ),
)


def _lines(verdicts: Verdicts) -> tuple[VerdictLine, ...]:
    finals = {row.method: row for row in verdicts.rows if row.measure is Measure.FINAL}
    return tuple(
        VerdictLine(
            row.method,
            row.baseline,
            answer(row),
            answer(finals[row.method]),
            len(row.seeds),
            seeds_in_words(row),
        )
        for row in verdicts.rows
        if row.measure is Measure.AREA
    )


def _differences(verdicts: Verdicts) -> Explained:
    return Explained(
        "Paired differences",
        Table(
            ("method", "measure", "seeds", "mean", "deviation", "95 % interval", "p", "corrected p",
             "sign-flip p", "corrected sign-flip p"),
            tuple(_difference_cells(row) for row in verdicts.rows),
        ),
        (
            Meaning("measure", "area = mean accuracy along the curve; final accuracy = that at its end."),
            Meaning("mean", "method minus baseline in points, averaged over the seeds."),
            Meaning("deviation", "sample standard deviation of these differences, in points."),
            Meaning("95 % interval", "where the true mean difference is likely to lie, by Student's t."),
            Meaning("p", "how often a mean so far from zero would come up by chance, by the paired t-test."),
            Meaning("corrected p", "p made larger after Holm for the number of methods; this one decides."),
            Meaning(
                "sign-flip p",
                "the same without assuming a bell curve; with n seeds it cannot be below 2 / 2ⁿ, so five seeds "
                "never get below 0.0625.",
            ),
            Meaning("corrected sign-flip p", "the same after Holm."),
        ),
    )  # fmt: skip


def _difference_cells(row: VerdictRow) -> tuple[str, ...]:
    head = (row.method, row.measure.value, str(len(row.seeds)))
    if row.test is None:
        return (*head, *7 * (NONE,))
    spread = row.test.spread
    if spread is None:
        return (*head, points(row.test.mean), *6 * (NONE,))
    return (
        *head,
        points(row.test.mean),
        f"{100 * spread.deviation:.2f}",
        f"{points(spread.interval.low)} to {points(spread.interval.high)}",
        *(_p(p) for p in (spread.t_p, row.corrected_t_p, row.test.flip_p, row.corrected_flip_p)),
    )


def _p(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _targets(verdicts: Verdicts) -> Explained:
    return Explained(
        "Labels needed for a target accuracy",
        Table(
            ("method", "target, %", "labels needed", "needed by the baseline", "labels saved", "runs reaching it",
             "of the baseline's"),
            tuple(
                (
                    row.method,
                    f"{100 * row.target:.2f}",
                    needed_in_words(row.needed),
                    needed_in_words(row.baseline_needed),
                    saved_in_words(row.saved),
                    f"{row.runs_reaching} of {row.seeds}",
                    f"{row.baseline_runs_reaching} of {row.seeds}",
                )
                for row in verdicts.targets
            ),
        ),
        (
            Meaning("target, %", "test accuracy; the first one is the baseline's own at its end."),
            Meaning(
                "labels needed",
                "where the mean curve of the shared seeds first reaches it, interpolated between rounds.",
            ),
            Meaning("needed by the baseline", "the same for the baseline."),
            Meaning("labels saved", "their difference, as far as it is known."),
            Meaning("runs reaching it", "how many single runs of the method get there at all."),
            Meaning("of the baseline's", "how many single runs of the baseline do."),
        ),
    )  # fmt: skip


def _areas(verdicts: Verdicts) -> Explained:
    return Explained(
        "Area under the curve of each run",
        Table(
            ("run", "method", "seed", "labels", "area, %", "final accuracy, %"),
            tuple(
                (
                    row.run,
                    row.method,
                    str(row.seed),
                    f"{row.first} to {row.last}",
                    f"{100 * row.area:.2f}",
                    f"{100 * row.final:.2f}",
                )
                for row in verdicts.runs
            ),
        ),
        (
            Meaning("labels", "first and last number of labels with a known accuracy."),
            Meaning(
                "area, %", "mean accuracy between them: area by trapezoids, divided by the range of labels."
            ),
            Meaning("final accuracy, %", "accuracy at the last of them."),
        ),
    )


def _wins(verdicts: Verdicts) -> Explained:
    wins = verdicts.wins
    compared = any(value is not None for shares in wins.shares for value in shares)
    rows = zip(wins.methods, wins.shares, strict=True) if compared else ()
    return Explained(
        "How often one method is significantly better than another",
        Table(
            ("method", *wins.methods),
            tuple((method, *(share(value) for value in row)) for method, row in rows),
        ),
        (
            Meaning(
                "each column",
                "share of the numbers of labels at which the method of the row is better than that of the column "
                f"(paired t-test over at least {MINIMUM_SEEDS} seeds, p below {SIGNIFICANCE:g}, not corrected); "
                "0 where it never is.",
            ),
        ),
    )
