"""A comparison as plain text, and the words that all reports use for its numbers.

Nothing is computed here. Differences of accuracy are shown in percentage points, called points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from aral.benchmarking import (
    ACCURACY,
    LEVEL,
    MARGIN,
    MINIMUM_SEEDS,
    MOST_SEEDS,
    POOLED_BELOW,
    SIGNIFICANCE,
    Comparison,
    CurvePoint,
    FullTrainingResult,
    Interval,
    LabelsNeeded,
    Measure,
    NotReached,
    Parity,
    Reached,
    ReachedAtStart,
    Verdict,
    VerdictRow,
    within_margin,
)
from aral.plural import counted

NONE = "–"


NO_BASELINE = (
    "No verdict: there is no baseline to compare with. Add runs of supervised+random, or of the same learner with "
    "+random, with the same seeds."
)

RULE = (
    f"Better: the mean difference over the seeds is above zero, with a corrected p-value below {SIGNIFICANCE:g}. "
    f"Worse: the same below zero. No practical difference: otherwise, if the {100 * LEVEL:g} % interval lies "
    f"within ± {100 * MARGIN:g} points. Inconclusive: otherwise, and always with fewer than {MINIMUM_SEEDS} seeds. "
    f"Below {POOLED_BELOW} seeds the deviation is pooled over all methods, except for methods whose own is larger; the "
    "paired t-test of the method alone is shown beside it. The verdict is on other seeds of these runs, with the same "
    "pool and the same test set."
)


# Words for numbers


def measure_in_words(measure: Measure, metric: str = ACCURACY) -> str:
    """What is tested, such as ``final accuracy``."""
    return "area under the curve" if measure is Measure.AREA else f"final {metric}"


def metric_lines(comparison: Comparison) -> list[str]:
    """A line on what is compared, where it is not the accuracy."""
    if comparison.metric == ACCURACY:
        return []
    return [f"Compared by the {comparison.metric}, in per cent; a point is one of a hundred."]


def points(difference: float) -> str:
    """A difference in percentage points with its sign, such as ``+2.10``."""
    text = f"{100 * difference:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def percent(value: float | None) -> str:
    """A share in per cent with two decimals; a dash if unknown."""
    return NONE if value is None else f"{100 * value:.2f}"


def duration(seconds: float) -> str:
    """A duration: ``8.4 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def verdict_in_words(row: VerdictRow) -> str:
    """The verdict with what qualifies it, such as ``better`` or ``inconclusive with 2 seeds``."""
    match row.verdict:
        case Verdict.BETTER:
            small = row.deciding is not None and within_margin(row.deciding.interval)
            return f"better, but by less than {100 * MARGIN:g} points" if small else "better"
        case Verdict.WORSE:
            return "worse"
        case Verdict.NO_DIFFERENCE:
            return f"no practical difference (within ± {100 * MARGIN:g} points)"
        case Verdict.INCONCLUSIVE:
            return f"inconclusive with {counted(len(row.seeds), 'seed')}"


def numbers_in_words(row: VerdictRow) -> str:
    """The mean difference, its interval and its p-values as one sentence."""
    if row.test is None or row.span is None:
        return "No seed in common." if not row.seeds else "No number of labels that all runs cover."
    start, stop = row.span
    labels = counted(stop, "label")
    where = f"with {labels}" if row.measure is Measure.FINAL else f"from {start} to {labels}"
    parts = [f"{points(row.test.mean)} points on average {where}"]
    if row.deciding is not None:
        interval = row.deciding.interval
        parts.append(f"{100 * LEVEL:g} % interval {points(interval.low)} to {points(interval.high)}")
    if row.deciding is not None and row.corrected_p is not None and row.corrected_t_p is not None:
        parts.append(f"corrected p {_p(row.corrected_p)} {basis_in_words(row)}")
        if row.pooled is not None:
            parts[-1] += f" (paired t-test alone: {_p(row.corrected_t_p)})"
    sentence = f"{'; '.join(parts)}."
    if row.deciding is None and row.test.count > 1:
        sentence += " All seeds differ by the same amount: there is no deviation to test against."
    if row.different_starts:
        sentence += f" First labels differ in {_seeds(row.different_starts)}."
    if row.unpaired:
        sentence += f" Not counted, as only one of the two methods has a run: {_seeds(row.unpaired)}."
    if row.not_pooled:
        sentence += f" Not pooled, as they do not cover these labels: {', '.join(row.not_pooled)}."
    return sentence


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(str(seed) for seed in seeds)}"


def basis_in_words(row: VerdictRow) -> str:
    """The test that decides, and why the deviation is not pooled where it could have been."""
    if row.pooled is not None:
        without = f", all but those of {' and '.join(row.outlying)}" if row.outlying else ""
        return f"by the deviation pooled over {counted(len(row.pooled_over), 'run')}{without}"
    if row.uneven:
        larger = "that of the other methods" if len(row.uneven) == 1 else "those of the other methods"
        return f"by the paired t-test, as the deviation of {' and '.join(row.uneven)} is larger than {larger}"
    return "by the paired t-test"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def seeds_in_words(row: VerdictRow) -> str:
    """How many seeds are needed for a clear verdict; a dash if it is clear."""
    if row.verdict is not Verdict.INCONCLUSIVE:
        return NONE
    if row.test is None or row.test.count < MINIMUM_SEEDS:
        return f"at least {MINIMUM_SEEDS}"
    if row.deciding is None:
        return "unknown"
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
    return "none saved" if saved.low == saved.high else "saving unknown"


def _between(least: float, most: float) -> str:
    if math.isinf(most):
        return f"more than {round(least)}" if round(least) else "some"
    return f"{round(least)}" if round(least) == round(most) else f"{round(least)} to {round(most)}"


def full_training_in_words(full: FullTrainingResult) -> str:
    """How full training was done."""
    steps = f", {full.steps:,} steps" if full.steps else ""
    if full.steps is None:
        steps = ", as many steps as a compared run takes in all rounds"
    return f"{full.learner}, all labels in one round{steps}, mean of {counted(len(full.units), 'run')}"


def curves_in_words(comparison: Comparison) -> str:
    """The ends of the learning curves, for readers who cannot see the chart."""
    ends = {point.method: point for point in comparison.curves}
    words = [
        f"{method} {100 * end.mean:.1f} % with {counted(end.labelled, 'label')}"
        for method, end in ends.items()
    ]
    return f"Learning curves, {comparison.measure} at their ends: {'; '.join(words)}."


def costs_in_words(points: Sequence[CurvePoint]) -> str:
    """The ends of the curves by cost, for readers who cannot see the chart; empty without costs."""
    ends = {point.method: point for point in points if point.cost is not None}
    words = [f"{method} {100 * end.mean:.1f} % for {end.cost:g}" for method, end in ends.items()]
    return (
        f"Learning curves by cost of the labels, accuracy at their ends: {'; '.join(words)}." if words else ""
    )


# Plain text


def verdict_lines(comparison: Comparison) -> list[str]:
    """A line for each method and measure."""
    lines = [
        f"{row.method} against {row.baseline}, {measure_in_words(row.measure, comparison.metric)}: "
        f"{verdict_in_words(row)}. {numbers_in_words(row)}"
        for row in comparison.verdicts
    ]
    return lines or [NO_BASELINE]


def target_lines(comparison: Comparison) -> list[str]:
    """A line for each method and target: the labels needed."""
    of = "" if comparison.metric == ACCURACY else f" {comparison.metric}"
    return [
        f"{row.method}, labels for {100 * row.target:.1f} %{of}: {needed_in_words(row.needed)} ({row.baseline}: "
        f"{needed_in_words(row.baseline_needed)}; {saved_in_words(row.saved)}; "
        f"{counted(row.seeds, 'seed')})."
        for row in comparison.targets
    ]


def condition_lines(comparison: Comparison) -> list[str]:
    """A line for each finding on the conditions: parity, full training, differences from the paper, failures."""
    conditions = comparison.conditions
    lines = [_parity_line(parity) for parity in conditions.parity]
    full = conditions.full_training
    if full and full.accuracy is not None:
        lines.append(f"Full training ({full_training_in_words(full)}): {percent(full.accuracy)} %")
        if comparison.metric != ACCURACY:
            lines[-1] += f" accuracy, {percent(comparison.reference)} % {comparison.metric}"
    lines += [f"{each.what}: paper: {each.paper} / here: {each.here}" for each in conditions.differences]
    return lines + [f"Failed: {unit.name}: {unit.problem}" for unit in conditions.failures]


def _parity_line(parity: Parity) -> str:
    unequal = "; ".join(parity.differences)
    state = f"UNEQUAL: {unequal}" if unequal else f"{counted(parity.verified, 'run')} verified"
    return f"Parity of seed {parity.seed}: {parity.hash or 'not known yet'} ({state})"


def unequal_settings_line(comparison: Comparison) -> str:
    """One line on the settings that the methods do not share; empty if they share all that they should.

    The names of the settings are grouped, as the report lists each with its values.
    """
    names = dict.fromkeys(
        line.partition(": ")[0] for parity in comparison.conditions.parity for line in parity.differences
    )
    if not names:
        return ""
    groups = ", ".join(dict.fromkeys(_group(name) for name in names))
    return f"The methods do not share {counted(len(names), 'setting')} ({groups}); the report lists them."


def _group(name: str) -> str:
    """``learner.networks.widths`` is of the networks, ``rounds.first_query`` the first query."""
    parts = name.split(".")
    if parts[0] in ("learner", "model", "rounds") and len(parts) > 1:
        parts = parts[1:]
    return parts[0].replace("_", " ")
