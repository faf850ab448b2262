"""Whether methods are better than their baseline; the rule is explained in docs/verdicts.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from aral.errors import BadInput, unknown_name
from aral.reports.labels import (
    Curve,
    NotReached,
    common_range,
    labels_needed,
    labels_saved,
    mean_curve,
    normalised_area,
)
from aral.reports.record import RunRecord
from aral.reports.statistics import (
    MINIMUM_SEEDS,
    SIGNIFICANCE,
    Interval,
    PairedTest,
    holm,
    paired_test,
    seeds_needed,
    win_share,
)
from aral.reports.tables import curve_points, curve_rows
from aral.reports.verdict_rows import MARGIN, Measure, RunRow, TargetRow, Verdict, VerdictRow, Verdicts, Wins


@dataclass(frozen=True, eq=False)
class _Run:
    record: RunRecord
    curve: Curve


_Runs = dict[str, dict[int, _Run]]


def judge(
    records: Sequence[RunRecord], baseline: str | None = None, targets: Sequence[float] = ()
) -> Verdicts:
    """Compare each method with its baseline.

    Args:
        records: runs that passed :func:`aral.reports.tables.check_comparable`.
        baseline: the method all others are compared with; None for random queries with the method's own
            learner where there are such runs, else supervised learning with random queries.
        targets: accuracies, in (0, 1], for which to count labels; the baseline's final one is always added.

    Raises:
        BadInput: no run is of this baseline, or a target is not in (0, 1].
    """
    methods = tuple(dict.fromkeys(record.method for record in records))
    if baseline is not None and baseline not in methods:
        raise unknown_name("baseline", baseline, methods)
    for target in targets:
        if not 0 < target <= 1:
            raise BadInput(f"The target accuracy {target:g} is not in (0, 1].", "Give 0.9 for 90 %.")
    learners = {record.method: record.learner for record in records}
    baselines = {method: baseline or _random_of(method, learners[method], methods) for method in methods}
    runs: _Runs = {method: {} for method in methods}
    for record in records:
        curve = run_curve(record)
        if curve is not None:
            runs[record.method][record.seed] = _Run(record, curve)
    pairs = [(method, base) for method, base in baselines.items() if base is not None and base != method]
    return Verdicts(
        rows=_verdict_rows(pairs, runs),
        targets=tuple(row for pair in pairs for row in _target_rows(pair, runs, targets)),
        unjudged=tuple(m for m, base in baselines.items() if base is None and m not in baselines.values()),
        points=tuple(curve_points(curve_rows(records))),
        runs=tuple(_run_row(run) for by_seed in runs.values() for run in by_seed.values()),
        wins=_wins(methods, runs),
    )


def run_curve(record: RunRecord) -> Curve | None:
    """The learning curve of a run, None without any accuracy; a repeated number of labels counts last."""
    points = {each.labelled: each.accuracy for each in record.rounds if each.accuracy is not None}
    if not points:
        return None
    labelled = np.array(sorted(points), dtype=np.int64)
    return Curve(labelled, np.array([points[count] for count in labelled.tolist()], dtype=np.float64))


def _random_of(method: str, learner: str, methods: Sequence[str]) -> str | None:
    """The method's baseline; a baseline itself is compared with supervised learning, and that with nothing."""
    own, plain = f"{learner}+random", "supervised+random"
    if own in methods and own != method:
        return own
    return plain if plain in methods else None


def _shared(pair: tuple[str, str], runs: _Runs) -> list[tuple[_Run, _Run]]:
    method, baseline = (runs[name] for name in pair)
    return [(method[seed], baseline[seed]) for seed in sorted(method.keys() & baseline.keys())]


def _verdict_rows(pairs: Sequence[tuple[str, str]], runs: _Runs) -> tuple[VerdictRow, ...]:
    """Both measures of each pair; for each measure, p-values are corrected over the pairs that are tested."""
    rows: dict[tuple[str, Measure], VerdictRow] = {}
    for measure in Measure:
        tests = {pair: _paired(_shared(pair, runs), measure) for pair in pairs}
        enough = {pair: test for pair, test in tests.items() if test and test.count >= MINIMUM_SEEDS}
        t_ps = holm([test.spread.t_p for test in enough.values() if test.spread])
        flip_ps = holm([test.flip_p for test in enough.values()])
        corrected = dict(zip(enough, zip(t_ps, flip_ps, strict=True), strict=True))
        for pair, test in tests.items():
            t_p, flip_p = corrected.get(pair, (None, None))
            shared, verdict = _shared(pair, runs), verdict_of(test, t_p)
            rows[pair[0], measure] = VerdictRow(
                *pair,
                measure=measure,
                seeds=tuple(run.record.seed for run, _ in shared),
                span=common_range([run.curve for both in shared for run in both]),
                test=test,
                corrected_t_p=t_p,
                corrected_flip_p=flip_p,
                verdict=verdict,
                seeds_needed=_seeds_needed(verdict, test, len(enough)),
                other_starts=tuple(run.record.seed for run, base in shared if not _same_start(run, base)),
            )
    return tuple(rows[pair[0], measure] for pair in pairs for measure in Measure)


def verdict_of(test: PairedTest | None, corrected_p: float | None) -> Verdict:
    """The rule of verdicts.

    Better or worse if the corrected p-value of the paired t-test is significant, by the sign of the mean; no
    difference if the t-interval lies inside ± :data:`MARGIN`; else, and always with fewer than three seeds,
    there is no telling.
    """
    if test is None or test.spread is None or corrected_p is None:
        return Verdict.CANNOT_TELL
    if corrected_p < SIGNIFICANCE:
        return Verdict.BETTER if test.mean > 0 else Verdict.WORSE
    if within_margin(test.spread.interval):
        return Verdict.NO_DIFFERENCE
    return Verdict.CANNOT_TELL


def within_margin(interval: Interval) -> bool:
    """Whether an interval of differences holds only such as are not worth having."""
    return -MARGIN < interval.low and interval.high < MARGIN


def _seeds_needed(verdict: Verdict, test: PairedTest | None, tests: int) -> int | None:
    if verdict is not Verdict.CANNOT_TELL or test is None or test.spread is None:
        return None
    if test.count < MINIMUM_SEEDS:
        return None
    return seeds_needed(test.mean, test.spread.deviation, MARGIN, tests)


def _paired(shared: Sequence[tuple[_Run, _Run]], measure: Measure) -> PairedTest | None:
    """Both runs of every seed are measured over the one range of labels that all of them cover."""
    span = common_range([run.curve for both in shared for run in both])
    if span is None:
        return None
    score = _SCORES[measure]
    scores = np.array([[score(run.curve, *span) for run in both] for both in shared])
    return paired_test(scores[:, 0], scores[:, 1])


def _final(curve: Curve, start: int, stop: int) -> float:
    return float(curve.at(np.array([stop]))[0])


_SCORES: dict[Measure, Callable[[Curve, int, int], float]] = {
    Measure.AREA: normalised_area,
    Measure.FINAL: _final,
}


def _same_start(run: _Run, other: _Run) -> bool:
    """Whether two runs asked for the same images first; unknown counts as the same."""
    first, second = run.record.rounds[0].selection, other.record.rounds[0].selection
    return first is None or second is None or set(first.ids.tolist()) == set(second.ids.tolist())


def _target_rows(pair: tuple[str, str], runs: _Runs, targets: Sequence[float]) -> list[TargetRow]:
    shared = _shared(pair, runs)
    own, base = ([both[place].curve for both in shared] for place in (0, 1))
    mean, base_mean = mean_curve(own), mean_curve(base)
    if mean is None or base_mean is None:
        return []
    rows = []
    for target in dict.fromkeys((float(base_mean.accuracy[-1]), *targets)):
        needed, base_needed = labels_needed(mean, target), labels_needed(base_mean, target)
        saved = labels_saved(needed, base_needed)
        reaching = [sum(_reaches(curve, target) for curve in curves) for curves in (own, base)]
        rows.append(TargetRow(*pair, target, len(shared), needed, base_needed, saved, *reaching))
    return rows


def _reaches(curve: Curve, target: float) -> bool:
    return not isinstance(labels_needed(curve, target), NotReached)


def _run_row(run: _Run) -> RunRow:
    curve, record = run.curve, run.record
    area = normalised_area(curve, curve.first, curve.last)
    return RunRow(
        record.name, record.method, record.seed, curve.first, curve.last, area, float(curve.accuracy[-1])
    )


def _wins(methods: tuple[str, ...], runs: _Runs) -> Wins:
    return Wins(
        methods,
        tuple(
            tuple(None if row == column else win_share(_by_labels(row, column, runs)) for column in methods)
            for row in methods
        ),
    )


def _by_labels(first: str, second: str, runs: _Runs) -> list[Float64[np.ndarray, " _"]]:
    """Differences over seeds at each number of labels that both methods have; nothing is interpolated."""
    found: dict[int, list[float]] = {}
    for run, other in _shared((first, second), runs):
        of_other = dict(zip(other.curve.labelled.tolist(), other.curve.accuracy.tolist(), strict=True))
        for count, accuracy in zip(run.curve.labelled.tolist(), run.curve.accuracy.tolist(), strict=True):
            if count in of_other:
                found.setdefault(count, []).append(accuracy - of_other[count])
    return [np.array(found[count]) for count in sorted(found)]
