"""Verdicts in words first and numbers behind: for the page, the terminal and other programs.

Differences of accuracy are shown in points, a point being one per cent of the test images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from aral.reports.labels import LabelsNeeded, NotReached, Reached, ReachedAtStart
from aral.reports.statistics import MINIMUM_SEEDS, MOST_SEEDS, Interval
from aral.reports.tables import csv_lines
from aral.reports.verdict_rows import MARGIN, Measure, TargetRow, Verdict, VerdictRow, Verdicts
from aral.reports.verdicts import within_margin
from aral.words import counted

NONE = "–"
KINDS_AND_MARKS = {
    Verdict.BETTER: ("better", "▲"),
    Verdict.WORSE: ("worse", "▼"),
    Verdict.NO_DIFFERENCE: ("same", "="),
    Verdict.CANNOT_TELL: ("open", "?"),
}
"""For each verdict a name for its colour, and a sign beside the words: colour is never the only cue."""


@dataclass(frozen=True)
class Answer:
    """A verdict as it is shown.

    Attributes:
        kind: "better", "worse", "same" or "open", for the colour.
        mark: a sign.
        words: the answer.
        numbers: what it rests on, as a sentence.
    """

    kind: str
    mark: str
    words: str
    numbers: str


def answer(row: VerdictRow) -> Answer:
    """A verdict in words, with the numbers behind it."""
    return Answer(*KINDS_AND_MARKS[row.verdict], verdict_in_words(row), numbers_in_words(row))


def verdict_in_words(row: VerdictRow) -> str:
    """The answer to "better than the baseline?", such as ``yes`` or ``cannot tell with 2 seeds``."""
    match row.verdict:
        case Verdict.BETTER:
            spread = row.test.spread if row.test else None
            small = spread is not None and within_margin(spread.interval)
            return f"yes, but by less than {100 * MARGIN:g} points" if small else "yes"
        case Verdict.WORSE:
            return f"no: worse than {short_name(row.baseline)}"
        case Verdict.NO_DIFFERENCE:
            return f"no: no difference worth having (within ± {100 * MARGIN:g} points)"
        case Verdict.CANNOT_TELL:
            return f"cannot tell with {counted(len(row.seeds), 'seed')}"


def short_name(baseline: str) -> str:
    """How a baseline is called in a sentence."""
    return "random" if baseline.rpartition("+")[2] == "random" else baseline


def numbers_in_words(row: VerdictRow) -> str:
    """The mean difference, its interval and its p-values as one sentence, with what limits them."""
    if row.test is None or row.span is None:
        return "No seed in common." if not row.seeds else "No number of labels that all runs cover."
    start, stop = row.span
    labels = counted(stop, "label")
    where = f"with {labels}" if row.measure is Measure.FINAL else f"from {start} to {labels}"
    parts = [f"{points(row.test.mean)} points on average {where}"]
    if row.test.spread is not None:
        parts.append(f"95 % interval {_interval(row.test.spread.interval)}")
    if row.corrected_t_p is not None and row.corrected_flip_p is not None:
        parts.append(f"corrected p {_p(row.corrected_t_p)}, by sign flips {_p(row.corrected_flip_p)}")
    sentence = f"{'; '.join(parts)}."
    if row.other_starts:
        seeds = ", ".join(str(seed) for seed in row.other_starts)
        sentence += f" First labels differ in seed{'s' * (len(row.other_starts) > 1)} {seeds}."
    return sentence


def seeds_in_words(row: VerdictRow) -> str:
    """How many seeds would settle the question."""
    if row.verdict is not Verdict.CANNOT_TELL:
        return "settled"
    if row.test is None or row.test.count < MINIMUM_SEEDS:
        return f"at least {MINIMUM_SEEDS} for an estimate"
    return f"more than {MOST_SEEDS}" if row.seeds_needed is None else f"about {row.seeds_needed}"


def needed_in_words(needed: LabelsNeeded) -> str:
    """Labels needed as whole labels, rounded up."""
    match needed:
        case Reached(labels):
            return str(math.ceil(labels - 1e-9))
        case ReachedAtStart(labels):
            return f"at most {labels}"
        case NotReached(labels):
            return f"not reached with {labels}"


def saved_in_words(saved: Interval) -> str:
    """Labels saved, as far as they are known."""
    if saved.low >= 0 and saved.high > 0:
        return f"{_between(saved.low, saved.high)} saved"
    if saved.high <= 0 and saved.low < 0:
        return f"{_between(-saved.high, -saved.low)} more needed"
    return "none" if saved.low == saved.high else "cannot tell"


def _between(least: float, most: float) -> str:
    if math.isinf(most):
        return f"more than {round(least)}"
    return f"{round(least)}" if round(least) == round(most) else f"{round(least)} to {round(most)}"


def verdict_lines(verdicts: Verdicts) -> str:
    """The verdicts as plain text, one line a method and measure."""
    lines = [
        f"{row.method}, {row.measure.value}: better than {short_name(row.baseline)} ({row.baseline}): "
        f"{verdict_in_words(row)}. {numbers_in_words(row)}"
        for row in verdicts.rows
    ]
    return "\n".join(lines or [NO_BASELINE])


def target_lines(verdicts: Verdicts) -> str:
    """What each target accuracy costs in labels, one line a method and target; empty without a baseline."""
    return "\n".join(
        f"{row.method}, labels for {100 * row.target:.1f} %: {needed_in_words(row.needed)} ({row.baseline}: "
        f"{needed_in_words(row.baseline_needed)}; {saved_in_words(row.saved)}; {counted(row.seeds, 'seed')})."
        for row in verdicts.targets
    )


NO_BASELINE = (
    "No verdict: there is nothing to compare with. Add runs of supervised+random, or of the same learner with "
    "+random, with the same seeds."
)


def points(difference: float) -> str:
    """A difference in points with its sign, such as ``+2.10``."""
    text = f"{100 * difference:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def share(value: float | None) -> str:
    """A share to two digits; a dash where there is none."""
    return NONE if value is None else f"{value:.2f}"


def _interval(interval: Interval) -> str:
    return f"{points(interval.low)} to {points(interval.high)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def verdicts_csv(verdicts: Verdicts) -> str:
    """The verdicts as CSV, one row a method and measure; what is not known is an empty field."""
    return csv_lines(FLAT_NAMES, [_flat(row) for row in verdicts.rows])


def verdicts_json(verdicts: Verdicts) -> str:
    """All that the comparison found, as a JSON object; what is not known is null."""
    content = {
        "verdicts": [
            {**_flat(row), "differences": row.test.differences if row.test else ()} for row in verdicts.rows
        ],
        "targets": [_flat_target(row) for row in verdicts.targets],
        "without_baseline": verdicts.unjudged,
        "curves": [
            {**asdict(point), "interval": asdict(point.interval) if point.interval else None}
            for point in verdicts.points
        ],
        "runs": [asdict(row) for row in verdicts.runs],
        "wins": asdict(verdicts.wins),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


FLAT_NAMES = (
    "method", "baseline", "measure", "verdict", "words", "seeds", "first_labelled", "last_labelled", "mean",
    "deviation", "low", "high", "t_p", "corrected_t_p", "flip_p", "corrected_flip_p", "seeds_needed",
    "other_starts",
)  # fmt: skip


def _flat(row: VerdictRow) -> dict[str, object]:
    spread = row.test.spread if row.test else None
    values: Sequence[object] = (
        row.method, row.baseline, row.measure.value, row.verdict.value, verdict_in_words(row),
        " ".join(str(seed) for seed in row.seeds),
        *(row.span or (None, None)),
        row.test.mean if row.test else None,
        *((spread.deviation, spread.interval.low, spread.interval.high, spread.t_p) if spread else 4 * (None,)),
        row.corrected_t_p, row.test.flip_p if row.test else None, row.corrected_flip_p, row.seeds_needed,
        " ".join(str(seed) for seed in row.other_starts),
    )  # fmt: skip
    return dict(zip(FLAT_NAMES, values, strict=True))


def _flat_target(row: TargetRow) -> dict[str, object]:
    return {
        "method": row.method,
        "baseline": row.baseline,
        "target": row.target,
        "seeds": row.seeds,
        "needed": _known(row.needed),
        "baseline_needed": _known(row.baseline_needed),
        "saved": {"low": _finite(row.saved.low), "high": _finite(row.saved.high)},
        "saved_words": saved_in_words(row.saved),
        "runs_reaching": row.runs_reaching,
        "baseline_runs_reaching": row.baseline_runs_reaching,
    }


def _known(needed: LabelsNeeded) -> dict[str, object]:
    known = {Reached: "reached", ReachedAtStart: "reached at the start", NotReached: "not reached"}
    return {"labels": needed.labels, "known": known[type(needed)], "words": needed_in_words(needed)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
