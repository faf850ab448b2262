"""Comparisons of runs for which the right verdict is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.benchmarking import (
    DataRecord,
    Interval,
    Measure,
    NotReached,
    Reached,
    ReachedAtStart,
    RunRecord,
    Verdict,
    VerdictRow,
)
from aral.benchmarking.comparison import check_comparable, compare_runs, curve_points
from aral.errors import BadInput
from aral.testing import run_record, runs_with_gains

RANDOM = "supervised+random"


def area(records: Sequence[RunRecord], method: str = "supervised+badge") -> VerdictRow:
    """The verdict of a method along the whole curve."""
    (row,) = [r for r in compare_runs(records).verdicts if r.method == method and r.measure is Measure.AREA]
    return row


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((0.04, 0.05, 0.06, 0.05, 0.04), Verdict.BETTER),
        ((0.002, 0.002, 0.003, 0.002), Verdict.BETTER),
        ((-0.04, -0.05, -0.06, -0.05, -0.04), Verdict.WORSE),
        ((0.04, 0.05), Verdict.INCONCLUSIVE),
        ((0.04,), Verdict.INCONCLUSIVE),
        ((0.04, -0.05, 0.06, -0.05, 0.04), Verdict.INCONCLUSIVE),
        # Mean ∓0.4 points, deviation 0.56, so the interval reaches from ∓1.1 to ±0.3: only one end is within 0.5.
        ((-0.0096, 0.0016, -0.0096, 0.0016, -0.004), Verdict.INCONCLUSIVE),
        ((0.0096, -0.0016, 0.0096, -0.0016, 0.004), Verdict.INCONCLUSIVE),
        ((0.0, 0.0, 0.0), Verdict.NO_DIFFERENCE),
        # Equal in every seed, but not zero: there is no deviation to test against.
        ((0.25, 0.25, 0.25), Verdict.INCONCLUSIVE),
        ((-0.001, -0.001, -0.001, -0.001), Verdict.INCONCLUSIVE),
        ((0.001, -0.001, 0.0, 0.001, -0.001), Verdict.NO_DIFFERENCE),
    ],
)
def test_verdicts(gains: Sequence[float], verdict: Verdict) -> None:
    rows = compare_runs(runs_with_gains(gains)).verdicts
    assert [row.measure for row in rows] == [Measure.AREA, Measure.FINAL]
    for row in rows:  # the gain is the same in every round, so both measures are equal
        assert row.verdict is verdict
        assert (row.baseline, row.span) == (RANDOM, (10, 30))
        assert row.test is not None
        assert row.test.mean == pytest.approx(sum(gains) / len(gains))


def test_area_and_end_may_disagree() -> None:
    gains = (0.04, 0.05, 0.06)
    records = [
        run
        for seed, gain in enumerate(gains)
        for run in (
            run_record(RANDOM, seed, (0.5, 0.6, 0.7)),
            run_record("aral+aral", seed, (0.5, 0.6 + 2 * gain, 0.7 - gain)),
        )
    ]
    along, end = compare_runs(records).verdicts
    assert along.test is not None and end.test is not None
    # Trapezoids over 20 labels: (10 · (0 + 2g) / 2 + 10 · (2g − g) / 2) / 20 = 3g / 4.
    assert along.test.mean == pytest.approx(0.05 * 0.75)
    assert end.test.mean == pytest.approx(-0.05)
    assert (along.verdict, end.verdict) == (Verdict.BETTER, Verdict.WORSE)


def test_more_methods_make_it_harder() -> None:
    # Alone: t = 4 / (1 / √3) with 2 degrees of freedom, p = 1 − √(48 / 50) = 0.0202.
    gains = (0.03, 0.04, 0.05)
    alone = area(runs_with_gains(gains))
    assert alone.corrected_t_p == pytest.approx(0.0202, abs=1e-4)
    assert alone.verdict is Verdict.BETTER
    among = area(with_others(gains, (0.04, -0.05, 0.06)))
    assert among.corrected_t_p == pytest.approx(3 * 0.0202, abs=3e-4)
    assert among.verdict is Verdict.INCONCLUSIVE
    assert among.seeds_needed is not None and among.seeds_needed > 3


def with_others(gains: Sequence[float], of_others: Sequence[float]) -> list[RunRecord]:
    """The method and its baseline, beside two more methods, the second with the gains in another order."""
    many = runs_with_gains(gains)
    for other, of_other in (("vaal+vaal", of_others), ("supervised+margin", (*of_others[1:], of_others[0]))):
        many += [run for run in runs_with_gains(of_other, other) if run.method == other]
    return many


def test_other_methods_tell_the_deviation() -> None:
    # Alone: mean 4 points, deviation 2, t = 4 / (2 / √3) = 3.46, p = 0.074.
    gains, quiet = (0.02, 0.04, 0.06), (0.019, 0.02, 0.021)
    alone = area(runs_with_gains(gains))
    assert alone.verdict is Verdict.INCONCLUSIVE and alone.pooled is None and alone.pooled_over == ()
    rows = {row.method: row for row in compare_runs(with_others(gains, quiet)).verdicts}
    assert rows["supervised+badge"].uneven == ("supervised+badge",), "its deviation is 20 times the others'"
    assert (
        rows["supervised+badge"].pooled is None and rows["supervised+badge"].verdict is Verdict.INCONCLUSIVE
    )
    assert rows["vaal+vaal"].outlying == ("supervised+badge",)
    steady = rows["vaal+vaal"]
    assert steady.pooled is not None and steady.test is not None and steady.deciding is steady.pooled
    # The baseline is the same in every seed, so each method's deviations from its mean are those of its gains; the
    # residuals are these minus the mean over the three methods that are left, with (3 − 1)(3 − 1) degrees of freedom.
    by_hand = np.array([[0, 0, 0], [-0.1, 0, 0.1], [0, 0.1, -0.1]]) / 100
    residuals = by_hand - by_hand.mean(axis=0)
    variance = float((residuals**2).sum()) / 4
    assert steady.pooled.deviation == pytest.approx(math.sqrt(2 * variance))
    assert len(steady.pooled_over) == 9 and steady.not_pooled == ()
    assert steady.corrected_p is not None and steady.corrected_t_p is not None
    assert steady.corrected_p != steady.corrected_t_p


def test_ten_seeds_decide_alone() -> None:
    gains = (0.02, 0.03, 0.04, 0.05, 0.02, 0.03, 0.04, 0.05, 0.03)
    assert area(with_others(gains, gains[::-1])).pooled is not None
    ten = area(with_others((*gains, 0.04), (0.01, *gains)))
    assert ten.pooled is None and ten.test is not None and ten.deciding is ten.test.t_test
    assert ten.corrected_p == ten.corrected_t_p


def test_runs_that_do_not_count_are_named() -> None:
    records = with_others((0.02, 0.03, 0.05), (0.01, 0.03, 0.01))
    records += [
        run_record("vaal+vaal", 3, (0.5, 0.6, 0.7)),
        run_record("supervised+margin", 4, (0.5,), (10,)),
    ]
    row = area(records, "vaal+vaal")
    assert (row.seeds, row.unpaired) == ((0, 1, 2), (3,))
    assert row.not_pooled == ("supervised+margin-4",) and len(row.pooled_over) == 13


def test_baselines() -> None:
    methods = ("aral+aral", "aral+random", "vaal+vaal", RANDOM)
    records = [run_record(method, 0, (0.5, 0.6, 0.7)) for method in methods]
    assert {row.method: row.baseline for row in compare_runs(records).verdicts} == {
        "aral+aral": "aral+random", "aral+random": RANDOM, "vaal+vaal": RANDOM,
    }  # fmt: skip
    given_one = compare_runs(records, baseline="vaal+vaal")
    assert {row.baseline for row in given_one.verdicts} == {"vaal+vaal"}
    assert {row.method for row in given_one.verdicts} == {"aral+aral", "aral+random", RANDOM}
    without = compare_runs(records[2:3])
    assert (without.verdicts, without.without_baseline) == ((), ("vaal+vaal",))
    with pytest.raises(BadInput, match=r"Unknown baseline 'vaal\+val'"):
        compare_runs(records, baseline="vaal+val")
    for wrong in (0.0, 90.0, float("nan")):
        with pytest.raises(BadInput, match="not in"):
            compare_runs(records, targets=[wrong])


def test_only_shared_seeds_and_shared_labels_count() -> None:
    records = [
        run_record(RANDOM, 0, (0.5, 0.6, 0.7)),
        run_record(RANDOM, 1, (0.5, 0.6, None)),
        run_record(RANDOM, 2, (0.1, 0.1, 0.1)),
        run_record("vaal+vaal", 0, (0.5, 0.8), labelled=(10, 30)),
        run_record("vaal+vaal", 1, (0.6, 0.9), labelled=(10, 30)),
        run_record("vaal+vaal", 3, (1.0, 1.0, 1.0)),
    ]
    along, end = compare_runs(records).verdicts
    assert (along.seeds, along.span) == ((0, 1), (10, 20))
    assert along.test is not None and end.test is not None
    # With 20 labels vaal is interpolated: 0.65 and 0.75 against 0.6; means on the way 0.575 and 0.675.
    assert end.test.differences == pytest.approx((0.05, 0.15))
    assert along.test.differences == pytest.approx((0.575 - 0.55, 0.675 - 0.55))


def test_runs_with_nothing_in_common() -> None:
    apart = [run_record(RANDOM, 0, (0.5,), (10,)), run_record("vaal+vaal", 0, (0.5,), (20,))]
    row = compare_runs(apart).verdicts[0]
    assert (row.test, row.span, row.verdict) == (None, None, Verdict.INCONCLUSIVE)
    strangers = compare_runs(
        [run_record(RANDOM, 0, (0.5,), (10,)), run_record("vaal+vaal", 1, (0.5,), (10,))]
    )
    assert strangers.verdicts[0].verdict is Verdict.INCONCLUSIVE
    assert (strangers.verdicts[0].seeds, strangers.targets) == ((), ())


def test_different_first_labels_are_found() -> None:
    records = [
        run_record(RANDOM, 0, (0.5,), (10,), first_ids=(1, 2)),
        run_record("vaal+vaal", 0, (0.5,), (10,), first_ids=(2, 1)),
        run_record(RANDOM, 4, (0.5,), (10,), first_ids=(1, 2)),
        run_record("vaal+vaal", 4, (0.5,), (10,), first_ids=(1, 3)),
    ]
    assert compare_runs(records).verdicts[0].different_starts == (4,)


def test_labels_for_targets() -> None:
    records = [
        run_record(RANDOM, 0, (0.5, 0.6, 0.7)),
        run_record(RANDOM, 1, (0.5, 0.6, 0.8)),
        run_record("vaal+vaal", 0, (0.6, 0.75, 0.75)),
        run_record("vaal+vaal", 1, (0.6, 0.75, 0.85)),
    ]
    first, second, third, fourth = compare_runs(records, targets=(0.55, 0.78, 0.99)).targets
    # Random ends at 0.75 with 30 labels; vaal's mean reaches that with 20.
    assert first.target == pytest.approx(0.75)
    assert isinstance(first.needed, Reached) and isinstance(first.baseline_needed, Reached)
    assert (first.needed.labels, first.baseline_needed.labels) == (pytest.approx(20), pytest.approx(30))
    assert (first.saved.low, first.saved.high) == (pytest.approx(10), pytest.approx(10))
    assert (first.runs_reaching, first.baseline_runs_reaching, first.seeds) == (2, 1, 2)
    assert second.needed == ReachedAtStart(10)
    assert [second.saved.low, second.saved.high] == pytest.approx([5, 15]), "random needs 15 labels for 0.55"
    assert isinstance(third.needed, Reached)
    assert (third.needed.labels, third.baseline_needed) == (pytest.approx(26), NotReached(30))
    assert [third.saved.low, third.saved.high] == pytest.approx([4, float("inf")])
    assert (fourth.needed, fourth.saved) == (NotReached(30), Interval(-float("inf"), float("inf")))


def test_seeds_needed_for_a_clear_verdict() -> None:
    # Deviation of ±1 point around 0.5 points.
    open_row = area(runs_with_gains((0.015, -0.005, 0.015, -0.005)))
    assert open_row.seeds_needed is not None and open_row.seeds_needed > 4
    assert area(runs_with_gains((0.01, 0.02))).seeds_needed is None, "too few for an estimate"
    assert area(runs_with_gains((0.04, 0.05, 0.06))).seeds_needed is None, "the verdict is clear"
    # The mean is just at the margin and the deviation wide: more than a thousand.
    assert area(runs_with_gains((0.205, -0.195, 0.005))).seeds_needed is None


def test_wins_by_hand() -> None:
    # With 10 labels nothing differs; with 20 and 30 the method is higher by 4, 5 and 6 points.
    records = [
        run
        for seed, gain in enumerate((0.04, 0.05, 0.06))
        for run in (
            run_record(RANDOM, seed, (0.5, 0.6, 0.7)),
            run_record("vaal+vaal", seed, (0.5, 0.6 + gain, 0.7 + gain)),
            run_record("other+other", seed, (0.5,), (15,)),
        )
    ]
    wins = compare_runs(records).wins
    assert wins.methods == (RANDOM, "vaal+vaal", "other+other")
    assert wins.shares == ((None, 0.0, None), (pytest.approx(2 / 3), None, None), (None, None, None))


dyadic = st.integers(8, 32).map(lambda count: count / 64)
seeds = st.lists(st.tuples(dyadic, dyadic), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(0, 32).map(lambda count: count / 64))
def test_a_constant_changes_no_verdict(scores: list[tuple[float, float]], constant: float) -> None:
    plain, raised = (
        compare_runs(
            [
                run_record(method, seed, (value + more, value + more), (8, 16))
                for seed, both in enumerate(scores)
                for method, value in zip(("vaal+vaal", RANDOM), both, strict=True)
            ]
        )
        for more in (0.0, constant)
    )
    assert plain.verdicts == raised.verdicts


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_swapping_method_and_baseline_swaps_the_verdict(scores: list[tuple[float, float]]) -> None:
    swapped = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
    records = [
        run_record(method, seed, (value, value), (8, 16))
        for seed, both in enumerate(scores)
        for method, value in zip(("a+a", "b+b"), both, strict=True)
    ]
    for row, back in zip(
        compare_runs(records, "a+a").verdicts, compare_runs(records, "b+b").verdicts, strict=True
    ):
        assert back.verdict is swapped.get(row.verdict, row.verdict)
        assert row.test is not None and back.test is not None
        assert back.test.mean == -row.test.mean


def test_mean_curves_by_hand() -> None:
    records = [run_record("m+a", seed, (value,), (10,)) for seed, value in enumerate((0.5, 0.6, 0.7))]
    (point,) = curve_points(records)
    assert (point.method, point.labelled, point.seeds) == ("m+a", 10, 3)
    assert point.mean == pytest.approx(0.6)
    assert point.deviation == pytest.approx(0.1)  # √((0.01 + 0 + 0.01) / 2)
    assert point.interval is not None  # 4.3027 · 0.1 / √3 = 0.2484
    assert point.interval.high - point.mean == pytest.approx(0.2484, abs=1e-4)
    (alone,) = curve_points(records[:1])
    assert (alone.deviation, alone.interval) == (None, None)
    (again,) = curve_points([run_record("m+a", 0, (0.1, 0.3), (10, 10))])
    assert again.mean == 0.3, "the last accuracy counts"
    assert curve_points([run_record("m+a", 0, (None,), (10,))]) == ()


def test_runs_that_cannot_be_compared_are_refused() -> None:
    run = replace(run_record("m+a", 0, (0.5,), (10,)), data=DataRecord("shapes", "JPEG copy"))
    check_comparable([run, replace(run, seed=1), replace(run, method="other")])
    with pytest.raises(BadInput, match=r"on shapes \(JPEG copy\), but .* on shapes\."):
        check_comparable([run, replace(run, data=DataRecord("shapes"), seed=1)])
    with pytest.raises(BadInput, match=r"both of m\+a, seed 0"):
        check_comparable([run, replace(run, name="copy")])
    with pytest.raises(BadInput, match="no run"):
        check_comparable([])


def with_metric(records: list[RunRecord], values: dict[str, tuple[float, ...]]) -> list[RunRecord]:
    """The runs with a balanced accuracy, and the recall of `cat`, in each round, by method."""
    return [
        replace(
            record,
            data=DataRecord("shapes", class_names=("cat", "dog")),
            rounds=tuple(
                replace(
                    each, numbers={**each.numbers, "balanced accuracy": value}, recalls={"cat": value / 2}
                )
                for each, value in zip(record.rounds, values[record.method], strict=True)
            ),
        )
        for record in records
    ]


def test_another_metric_takes_the_place_of_the_accuracy() -> None:
    """The method has the better accuracy, and the worse balanced accuracy."""
    values = {"supervised+random": (0.4, 0.6, 0.6), "supervised+badge": (0.4, 0.4, 0.4)}
    records = with_metric(runs_with_gains((0.04, 0.05, 0.06)), values)
    found = compare_runs(records, metric="balanced-accuracy")
    assert found.metric == "balanced accuracy" and found.measure == "balanced accuracy on the test set"
    assert [point.mean for point in found.curves] == pytest.approx([0.4, 0.6, 0.6, 0.4, 0.4, 0.4])
    along, end = found.verdicts
    assert along.test is not None and along.test.mean == pytest.approx(0.4 - 0.55)
    assert end.test is not None and end.test.mean == pytest.approx(0.4 - 0.6)
    recall = compare_runs(records, metric="recall of cat").verdicts[1]
    assert recall.test is not None and recall.test.mean == pytest.approx(0.2 - 0.3)
    by_accuracy = compare_runs(records)
    assert by_accuracy.metric == "accuracy" and by_accuracy.verdicts[0].verdict is Verdict.BETTER


def test_metrics_at_the_end_of_the_runs() -> None:
    records = runs_with_gains((0.04, 0.06))
    values = {"supervised+random": (0.4, 0.6, 0.6), "supervised+badge": (0.4, 0.4, 0.4)}
    rows = {(row.method, row.metric): row for row in compare_runs(with_metric(records, values)).ends}
    accuracy = rows["supervised+badge", "accuracy"]
    assert accuracy.mean == pytest.approx(0.8) and accuracy.deviation == pytest.approx(0.02 / 2**0.5)
    assert (accuracy.seeds, accuracy.labelled) == (2, (30, 30))
    assert rows["supervised+random", "recall of cat"].mean == pytest.approx(0.3)
    assert ("supervised+random", "macro F1") not in rows


def test_a_metric_that_no_run_has_is_refused() -> None:
    with pytest.raises(BadInput, match="No run has recorded the macro F1"):
        compare_runs(runs_with_gains((0.1,)), metric="macro F1")
