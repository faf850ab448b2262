"""One comparison of methods over seeds: curves, areas, labels needed, verdicts, and the conditions of the runs.

Everything is computed here once; :mod:`aral.reports` shows it as text, HTML, JSON and CSV. Accuracies, areas and
their differences are shares of the test images, in [0, 1] and [−1, 1]; another metric may be compared in the place of
the accuracy. A difference is method minus baseline of one seed, because runs of one seed start from the same first
labels. docs/verdicts.md explains the rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from jaxtyping import Float64

from aral.benchmarking.end_metrics import EndRow, end_rows
from aral.benchmarking.grid import full_learner
from aral.benchmarking.jobs import State
from aral.benchmarking.methods import Method
from aral.benchmarking.parity import Parity
from aral.benchmarking.records import (
    ACCURACY,
    RoundRecord,
    RunRecord,
    metric_named,
    read_run,
)
from aral.benchmarking.results import Difference, GridResult, UnitResult
from aral.benchmarking.spending import COST, NO_CLASS
from aral.benchmarking.statistics import (
    MINIMUM_SEEDS,
    SIGNIFICANCE,
    Curve,
    Interval,
    LabelsNeeded,
    NotReached,
    PairedTest,
    TTest,
    common_range,
    labels_needed,
    labels_saved,
    mean_curve,
    normalised_area,
    seeds_needed,
    t_interval,
    win_share,
)
from aral.benchmarking.two_way import PairTest, corrected, pair_test, two_way
from aral.benchmarking.variations import MARK
from aral.errors import BadInput, unknown_name
from aral.learners import LEARNERS

MARGIN = 0.005
"""Half a percentage point: a smaller difference of accuracy has no practical relevance."""

PLAIN_BASELINE = "supervised+random"


class Verdict(Enum):
    """The outcome for a method against its baseline."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no practical difference"
    INCONCLUSIVE = "inconclusive"


class Measure(Enum):
    """The quantity that is tested. The area under the learning curve is the primary one, fixed before any run."""

    AREA = "area"
    FINAL = "final accuracy"


@dataclass(frozen=True)
class CurvePoint:
    """One point of a method's learning curve, over its seeds.

    Attributes:
        method: the method.
        labelled: the number of labels.
        mean: mean test accuracy over the seeds, in [0, 1].
        deviation: sample standard deviation over the seeds (n − 1 in the denominator), in the same unit; None
            for a single seed.
        seeds: how many seeds have reached this number of labels.
        interval: the 95 % t-interval of the mean; None for a single seed.
        cost: mean of what the labels cost; None where the budget is a number of labels.
    """

    method: str
    labelled: int
    mean: float
    deviation: float | None
    seeds: int
    interval: Interval | None
    cost: float | None = None


@dataclass(frozen=True)
class VerdictRow:
    """One method against its baseline in one measure.

    Attributes:
        method: the method.
        baseline: the method it is compared with.
        measure: the quantity that is tested.
        seeds: the seeds that both have, ascending.
        span: smallest and largest number of labels that all these runs cover; None without such a range.
        test: the paired differences, with the paired t-test; None if there are none.
        pooled: the t-test by the deviation pooled over all methods, which then decides; None where the paired t-test
            decides.
        pooled_over: names of the runs that the deviation is pooled over; empty where the paired t-test decides.
        not_pooled: names of the runs that are left out of it, because they do not cover the range of labels.
        outlying: methods that are left out of it, because their deviation is far larger than that of the others.
        uneven: the methods, of these two, whose deviation is significantly larger than that of the others, so that
            the deviation is not pooled.
        corrected_p: p-value of the test that decides, corrected after Holm over the methods; None below three seeds.
        corrected_t_p: that of the paired t-tests alone. Where all differences are equal, both are 1.
        verdict: the outcome.
        seeds_needed: seeds needed for a clear verdict; None if it is clear, if there are fewer than three, or
            if more than a thousand were needed.
        different_starts: seeds whose two runs did not start from the same first labels.
        unpaired: seeds that only one of the two has; their runs do not count for the mean.
    """

    method: str
    baseline: str
    measure: Measure
    seeds: tuple[int, ...]
    span: tuple[int, int] | None
    test: PairedTest | None
    pooled: TTest | None
    pooled_over: tuple[str, ...]
    not_pooled: tuple[str, ...]
    outlying: tuple[str, ...]
    uneven: tuple[str, ...]
    corrected_p: float | None
    corrected_t_p: float | None
    verdict: Verdict
    seeds_needed: int | None
    different_starts: tuple[int, ...]
    unpaired: tuple[int, ...]

    @property
    def deciding(self) -> TTest | None:
        """The t-test that decides; None for a single seed, or if nothing is pooled and all differences are equal."""
        return self.pooled or (self.test.t_test if self.test else None)


@dataclass(frozen=True)
class TargetRow:
    """Labels that the mean curves of a method and its baseline need for a target accuracy.

    Attributes:
        method: the method.
        baseline: the method it is compared with.
        target: the accuracy, in [0, 1].
        seeds: how many seeds both have; the curves are means over these.
        needed: labels the method needs.
        baseline_needed: labels the baseline needs.
        saved: bounds of the labels saved against the baseline.
        runs_reaching: how many single runs of the method reach the target.
        baseline_runs_reaching: how many of the baseline's do.
    """

    method: str
    baseline: str
    target: float
    seeds: int
    needed: LabelsNeeded
    baseline_needed: LabelsNeeded
    saved: Interval
    runs_reaching: int
    baseline_runs_reaching: int


@dataclass(frozen=True)
class RunRow:
    """One run: labels of its first and last round, area under the curve between them, final accuracy."""

    run: str
    method: str
    seed: int
    first: int
    last: int
    area: float
    final: float


@dataclass(frozen=True)
class Wins:
    """The pairwise penalty matrix.

    Attributes:
        methods: names of the rows and of the columns.
        shares: entry i, j is the share of the numbers of labels at which method i is significantly better
            than method j; None where they cannot be compared.
    """

    methods: tuple[str, ...]
    shares: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class FullTrainingResult:
    """Training on all labels of the pool: the upper line of a comparison.

    Attributes:
        learner: its learner.
        steps: training steps; None: as many as a compared run takes in all its rounds; 0: it does not train in steps.
        units: its runs.
        accuracy: mean test accuracy, in [0, 1]; None unless all of its runs are done.
        value: the mean of the metric of the comparison, where that is another one; likewise.
    """

    learner: str
    steps: int | None
    units: tuple[UnitResult, ...]
    accuracy: float | None
    value: float | None = None


@dataclass(frozen=True)
class Conditions:
    """Under which conditions the compared runs were made; empty for runs that are not of a grid.

    Attributes:
        parity: for each seed, whether its runs had equal conditions; empty if it was not checked.
        full_training: None if there was none.
        differences: from the paper's experiment.
        failures: units that failed.
        method_settings: settings that only one method has, by method.
    """

    parity: tuple[Parity, ...] = ()
    full_training: FullTrainingResult | None = None
    differences: tuple[Difference, ...] = ()
    failures: tuple[UnitResult, ...] = ()
    method_settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A comparison of methods on one data set.

    Attributes:
        records: what the runs have recorded, at least one run.
        curves: mean learning curves with their spread.
        verdicts: one for each method and measure, methods in order of appearance, the area first.
        targets: one for each method and target accuracy.
        without_baseline: methods that have no baseline here and are none themselves.
        runs: one for each run that has an accuracy.
        wins: the pairwise penalty matrix.
        conditions: of the runs.
        metric: what is compared, in the place of the accuracy: curves, areas, targets and verdicts are of it.
        ends: every metric at the end of the runs, whatever is compared.
    """

    records: tuple[RunRecord, ...]
    curves: tuple[CurvePoint, ...]
    verdicts: tuple[VerdictRow, ...]
    targets: tuple[TargetRow, ...]
    without_baseline: tuple[str, ...]
    runs: tuple[RunRow, ...]
    wins: Wins
    conditions: Conditions
    metric: str = ACCURACY
    ends: tuple[EndRow, ...] = ()

    @property
    def data(self) -> str:
        """The data set with its note."""
        return self.records[0].data.title

    @property
    def measure(self) -> str:
        """The name of the values that are compared, such as ``test accuracy``."""
        if self.metric == ACCURACY:
            return self.records[0].measure
        return f"{self.metric} on the {'estimate' if self.records[0].of_project else 'test'} set"

    @property
    def methods(self) -> tuple[str, ...]:
        """In order of appearance."""
        return tuple(dict.fromkeys(record.method for record in self.records))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Ascending."""
        return tuple(sorted({record.seed for record in self.records}))

    @property
    def reference(self) -> float | None:
        """The mean of the metric over the runs of full training, in [0, 1]; None if it is unknown."""
        full = self.conditions.full_training
        if full is None:
            return None
        return full.accuracy if self.metric == ACCURACY else full.value


def compare_runs(
    records: Sequence[RunRecord],
    baseline: str | None = None,
    targets: Sequence[float] = (),
    parity: Iterable[Parity] = (),
    metric: str = ACCURACY,
) -> Comparison:
    """Compare each method with its baseline.

    Args:
        records: runs on one data set.
        baseline: the method all others are compared with; None for random queries with the method's own
            learner where there are such runs, else supervised learning with random queries.
        targets: accuracies, in (0, 1], for which to count labels; the baseline's final one is always added.
        parity: whether the runs had equal conditions, if that was checked.
        metric: what is compared: one of :data:`aral.benchmarking.METRICS`, or ``recall of CLASS``.

    Raises:
        BadInput: there is no run, the data sets (or their notes) differ, two runs are of one method and seed, no
            run is of the baseline, a target is not in (0, 1], or no run has recorded the metric.
    """
    check_comparable(records)
    metric = metric_named(metric, records[0].data.class_names)
    methods = tuple(dict.fromkeys(record.method for record in records))
    if baseline is not None and baseline not in methods:
        raise unknown_name("baseline", baseline, methods)
    for target in targets:
        if not 0 < target <= 1:
            raise BadInput(f"The target accuracy {target:g} is not in (0, 1].", "Give 0.9 for 90 %.")
    learners = {record.method: record.learner for record in records}
    baselines = {method: baseline or _baseline_of(method, learners[method], methods) for method in methods}
    runs: _Runs = {method: {} for method in methods}
    for record in records:
        curve = _run_curve(record, metric)
        if curve is not None:
            runs[record.method][record.seed] = _Run(record, curve)
    if metric != ACCURACY and not any(runs.values()):
        raise BadInput(
            f"No run has recorded the {metric}.",
            f"Compare by the accuracy, or run the methods again: --metric {ACCURACY}",
        )
    pairs = [(method, base) for method, base in baselines.items() if base is not None and base != method]
    return Comparison(
        records=tuple(records),
        curves=curve_points(records, metric),
        verdicts=_verdict_rows(pairs, runs),
        targets=tuple(row for pair in pairs for row in _target_rows(pair, runs, targets)),
        without_baseline=tuple(
            m for m, base in baselines.items() if base is None and m not in baselines.values()
        ),
        runs=tuple(_run_row(run) for by_seed in runs.values() for run in by_seed.values()),
        wins=_wins(methods, runs),
        conditions=Conditions(tuple(parity)),
        metric=metric,
        ends=end_rows(records),
    )


def compare_grid(
    result: GridResult,
    baseline: str | None = None,
    targets: Sequence[float] = (),
    metric: str = ACCURACY,
) -> Comparison | None:
    """Compare the finished and running units of a grid.

    Args:
        result: of the grid.
        baseline: as for :func:`compare_runs`; if none of its runs has begun, the usual baseline is used.
        targets: as for :func:`compare_runs`.
        metric: as for :func:`compare_runs`.

    Returns:
        None if no unit has begun.

    Raises:
        BadInput: as for :func:`compare_runs`.
    """
    begun = (State.DONE, State.RUNNING)
    records = [read_run(result.folder / unit.name) for unit in result.units if unit.state in begun]
    if not records:
        return None
    if not any(record.method == baseline for record in records):
        baseline = None
    found = compare_runs(records, baseline, targets, metric=metric)
    conditions = Conditions(
        result.parity,
        _full_training(result, found.metric),
        result.differences,
        result.failures,
        result.grid.method_settings,
    )
    return replace(found, conditions=conditions)


def _full_training(result: GridResult, metric: str) -> FullTrainingResult | None:
    full = result.grid.full
    if full is None:
        return None
    learner = full_learner(result.grid)
    name = Method.parse(learner).learner_name
    in_steps = "training" not in LEARNERS[name].model_validate({"name": name}).unused
    steps = full.steps if in_steps else 0
    value = None
    if metric != ACCURACY and result.reference is not None:
        ends = [read_run(result.folder / unit.name).last_evaluated for unit in result.full]
        values = [end.metric(metric) for end in ends if end is not None]
        known = [each for each in values if each is not None]
        value = sum(known) / len(known) if len(known) == len(result.full) else None
    return FullTrainingResult(learner, steps, result.full, result.reference, value)


def check_comparable(records: Sequence[RunRecord]) -> None:
    """Refuse runs that cannot be compared.

    Raises:
        BadInput: there is no run, the runs are of different data sets (their notes count), or two of them
            are of the same method and seed.
    """
    if not records:
        raise BadInput("There is no run to compare.", "Give at least one run folder.")
    seen: dict[tuple[str, int], RunRecord] = {}
    for record in records:
        if record.data.title != records[0].data.title:
            raise BadInput(
                f"Run {records[0].folder} is on {records[0].data.title}, "
                f"but run {record.folder} on {record.data.title}.",
                "Compare runs on one data set at a time.",
            )
        other = seen.setdefault((record.method, record.seed), record)
        if other is not record:
            raise BadInput(
                f"Runs {other.folder} and {record.folder} are both of {record.method}, seed {record.seed}.",
                "Leave one of them out.",
            )


def curve_points(records: Iterable[RunRecord], metric: str = ACCURACY) -> tuple[CurvePoint, ...]:
    """Mean learning curves: methods in order of appearance, numbers of labels ascending.

    If a run evaluates the same number of labels twice, the last value counts. Where answers have costs, or have no
    class, the seeds of a round differ in their number of labels: a point is then a round, at the mean of the numbers.

    Args:
        records: the runs.
        metric: what is drawn over the labels; see :meth:`RoundRecord.metric`.
    """
    methods: dict[str, dict[int, dict[int, RoundRecord]]] = {}
    for record in records:
        by_round = any(name in each.numbers for each in record.rounds for name in (COST, NO_CLASS))
        for each in record.rounds:
            value = each.metric(metric)
            if value is not None:
                points = methods.setdefault(record.method, defaultdict(dict))
                points[each.round if by_round else each.labelled][record.seed] = each
    return tuple(
        _curve_point(method, list(by_seed.values()), metric)
        for method, points in methods.items()
        for _, by_seed in sorted(points.items())
    )


def _curve_point(method: str, rounds: Sequence[RoundRecord], metric: str) -> CurvePoint:
    accuracies = np.array([each.metric(metric) for each in rounds], dtype=np.float64)
    mean, count = float(accuracies.mean()), accuracies.size
    labelled = round(sum(each.labelled for each in rounds) / count)
    costs = [each.numbers[COST] for each in rounds if COST in each.numbers]
    cost = sum(costs) / count if len(costs) == count else None
    if count == 1:
        return CurvePoint(method, labelled, mean, None, 1, None, cost)
    deviation = float(accuracies.std(ddof=1))
    return CurvePoint(method, labelled, mean, deviation, count, t_interval(mean, deviation, count), cost)


# Verdicts


@dataclass(frozen=True, eq=False)
class _Run:
    record: RunRecord
    curve: Curve


_Runs = dict[str, dict[int, _Run]]


def _run_curve(record: RunRecord, metric: str) -> Curve | None:
    """The learning curve of a run, None without any value; of a repeated number of labels the last counts."""
    points = {each.labelled: value for each in record.rounds if (value := each.metric(metric)) is not None}
    if not points:
        return None
    labelled = np.array(sorted(points), dtype=np.int64)
    return Curve(labelled, np.array([points[count] for count in labelled.tolist()], dtype=np.float64))


def _baseline_of(method: str, learner: str, methods: Sequence[str]) -> str | None:
    """Random queries with the same learner and varied values, else supervised learning with random queries.

    Where there is neither, or one method alone with varied settings, the first combination of values is the baseline.
    """
    plain, mark, varied = method.partition(MARK)
    first = next((each for each in methods if each.partition(MARK)[0] == plain), None)
    if mark and all(each.partition(MARK)[0] == plain for each in methods):
        return first if first != method else None
    for own in (f"{learner}+random{mark}{varied}", f"{learner}+random"):
        if own in methods and own != method:
            return own
    for base in (f"{PLAIN_BASELINE}{mark}{varied}", PLAIN_BASELINE):
        if base in methods:
            return base
    return first if mark and first != method and plain != f"{learner}+random" else None


def _shared(pair: tuple[str, str], runs: _Runs) -> list[tuple[_Run, _Run]]:
    method, baseline = (runs[name] for name in pair)
    return [(method[seed], baseline[seed]) for seed in sorted(method.keys() & baseline.keys())]


def _verdict_rows(pairs: Sequence[tuple[str, str]], runs: _Runs) -> tuple[VerdictRow, ...]:
    """Both measures of each pair; for each measure, p-values are corrected over the pairs that are tested."""
    rows: dict[tuple[str, Measure], VerdictRow] = {}
    spans = {
        pair: common_range([run.curve for both in _shared(pair, runs) for run in both]) for pair in pairs
    }
    for measure in Measure:
        scores = {span: _scores(runs, measure, *span) for span in spans.values() if span}
        layouts = {span: two_way(each) for span, each in scores.items()}
        tests = {
            pair: pair_test(scores[span], layouts[span], *pair) if span else None
            for pair, span in spans.items()
        }
        enough = {pair: test for pair, test in tests.items() if test and test.paired.count >= MINIMUM_SEEDS}
        p_values = dict(zip(enough, corrected([test.deciding for test in enough.values()]), strict=True))
        t_ps = dict(zip(enough, corrected([test.paired.t_test for test in enough.values()]), strict=True))
        for pair, test in tests.items():
            shared, verdict = _shared(pair, runs), verdict_of(test, p_values.get(pair))
            rows[pair[0], measure] = VerdictRow(
                *pair,
                measure=measure,
                seeds=tuple(run.record.seed for run, _ in shared),
                span=spans[pair],
                test=test.paired if test else None,
                pooled=test.pooled if test else None,
                pooled_over=_pooled(runs, test, spans[pair], covering=True),
                not_pooled=_pooled(runs, test, spans[pair], covering=False),
                outlying=test.outlying if test and test.pooled else (),
                uneven=test.uneven if test else (),
                corrected_p=p_values.get(pair),
                corrected_t_p=t_ps.get(pair),
                verdict=verdict,
                seeds_needed=_seeds_needed(verdict, test, len(enough)),
                different_starts=tuple(run.record.seed for run, base in shared if not _same_start(run, base)),
                unpaired=tuple(sorted(runs[pair[0]].keys() ^ runs[pair[1]].keys())),
            )
    return tuple(rows[pair[0], measure] for pair in pairs for measure in Measure)


def verdict_of(test: PairTest | None, corrected_p: float | None) -> Verdict:
    """The rule of verdicts.

    Better or worse if the corrected p-value of the deciding t-test is significant, by the sign of the mean; no
    practical difference if its t-interval lies inside ± :data:`MARGIN`; else, and always with fewer than three seeds,
    inconclusive. Where all differences are equal and nothing is pooled, there is no deviation to test against: no
    practical difference if all are zero, else inconclusive.

    Args:
        test: of the pair; None without shared seeds.
        corrected_p: None with fewer than three seeds.
    """
    if test is None or corrected_p is None:
        return Verdict.INCONCLUSIVE
    mean = test.paired.mean
    if test.deciding is None:
        return Verdict.NO_DIFFERENCE if mean == 0 else Verdict.INCONCLUSIVE
    if corrected_p < SIGNIFICANCE:
        return Verdict.BETTER if mean > 0 else Verdict.WORSE
    if within_margin(test.deciding.interval):
        return Verdict.NO_DIFFERENCE
    return Verdict.INCONCLUSIVE


def within_margin(interval: Interval) -> bool:
    """Whether an interval of differences lies inside ± :data:`MARGIN`."""
    return -MARGIN < interval.low and interval.high < MARGIN


def _seeds_needed(verdict: Verdict, test: PairTest | None, tests: int) -> int | None:
    if verdict is not Verdict.INCONCLUSIVE or test is None or test.deciding is None:
        return None
    mean, count = test.paired.mean, test.paired.count
    if count < MINIMUM_SEEDS:
        return None
    pooled = test.deciding.degrees_of_freedom / (count - 1)
    return seeds_needed(mean, test.deciding.deviation, MARGIN, tests, pooled)


def _scores(runs: _Runs, measure: Measure, start: int, stop: int) -> dict[str, dict[int, float]]:
    """Of every run that covers the range of labels, by method and seed."""
    return {
        method: {
            seed: _score(run.curve, measure, start, stop)
            for seed, run in by_seed.items()
            if _covers(run, start, stop)
        }
        for method, by_seed in runs.items()
    }


def _covers(run: _Run, start: int, stop: int) -> bool:
    return run.curve.first <= start and stop <= run.curve.last


def _pooled(
    runs: _Runs, test: PairTest | None, span: tuple[int, int] | None, covering: bool
) -> tuple[str, ...]:
    """Names of the runs that a test pools the deviation over, or of those that do not cover its range of labels."""
    if test is None or test.pooled is None or span is None:
        return ()
    every = [run for name, own in runs.items() if name not in test.outlying for run in own.values()]
    return tuple(run.record.name for run in every if _covers(run, *span) is covering)


def _score(curve: Curve, measure: Measure, start: int, stop: int) -> float:
    match measure:
        case Measure.AREA:
            return normalised_area(curve, start, stop)
        case Measure.FINAL:
            return float(curve.at(np.array([stop]))[0])


def _same_start(run: _Run, other: _Run) -> bool:
    """Whether the first queries of two runs are the same images; unknown counts as the same."""
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
