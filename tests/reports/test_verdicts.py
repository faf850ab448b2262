"""Planted cases in which the right verdict is known beforehand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.errors import BadInput
from aral.reports import judge, verdict_lines, write_comparison
from aral.reports.labels import NotReached, Reached, ReachedAtStart
from aral.reports.record import RoundRecord, RunRecord
from aral.reports.statistics import Interval
from aral.reports.verdict_page import verdict_part
from aral.reports.verdict_rows import Measure, Verdict, VerdictRow
from aral.reports.verdict_words import (
    needed_in_words,
    points,
    saved_in_words,
    seeds_in_words,
    verdict_in_words,
    verdicts_csv,
    verdicts_json,
)
from aral.types import Selection

RANDOM = "supervised+random"


def a_run(
    method: str,
    seed: int,
    accuracies: Sequence[float | None],
    labelled: Sequence[int] = (10, 20, 30),
    first_ids: Sequence[int] | None = None,
) -> RunRecord:
    """A run with one accuracy a round."""
    learner, _, acquisition = method.partition("+")
    return RunRecord(
        name=f"{method}-{seed}", folder=Path("nowhere"), data="shapes", note="", method=method, learner=learner,
        acquisition=acquisition, seed=seed, class_names=(), budget=None, events=(), unreadable=(), settings=None,
        rounds=tuple(
            RoundRecord(
                round=number, labelled=count, stage=None, steps=0, losses={}, confusion=None, answers={},
                pictures=None,
                numbers={} if accuracy is None else {"accuracy": accuracy},
                selection=None if first_ids is None or number else a_selection(first_ids),
            )
            for number, (accuracy, count) in enumerate(zip(accuracies, labelled, strict=True))
        ),
    )  # fmt: skip


def a_selection(ids: Sequence[int]) -> Selection:
    """A query of these images."""
    return Selection(np.array(ids), np.arange(len(ids), dtype=np.float64), "random", ("",) * len(ids))


def pair_of_methods(
    gains: Sequence[float], method: str = "supervised+badge", base: Sequence[float] = (0.5, 0.625, 0.75)
) -> list[RunRecord]:
    """A run of the method and one of random for each seed; the method is higher by the gain in all rounds."""
    return [
        run
        for seed, gain in enumerate(gains)
        for run in (a_run(RANDOM, seed, base), a_run(method, seed, [value + gain for value in base]))
    ]


def area(records: Sequence[RunRecord], method: str = "supervised+badge") -> VerdictRow:
    """The verdict of a method along the whole curve."""
    (row,) = [r for r in judge(records).rows if r.method == method and r.measure is Measure.AREA]
    return row


@pytest.mark.parametrize(
    ("gains", "verdict", "words"),
    [
        ((0.04, 0.05, 0.06, 0.05, 0.04), Verdict.BETTER, "yes"),
        ((-0.04, -0.05, -0.06, -0.05, -0.04), Verdict.WORSE, "no: worse than random"),
        ((0.04, 0.05), Verdict.CANNOT_TELL, "cannot tell with 2 seeds"),
        ((0.04,), Verdict.CANNOT_TELL, "cannot tell with 1 seed"),
        ((0.04, -0.05, 0.06, -0.05, 0.04), Verdict.CANNOT_TELL, "cannot tell with 5 seeds"),
        # Mean ∓0.4 points, deviation 0.56, so the interval reaches from ∓1.1 to ±0.3: only one end is within 0.5.
        ((-0.0096, 0.0016, -0.0096, 0.0016, -0.004), Verdict.CANNOT_TELL, "cannot tell with 5 seeds"),
        ((0.0096, -0.0016, 0.0096, -0.0016, 0.004), Verdict.CANNOT_TELL, "cannot tell with 5 seeds"),
        (
            (0.0, 0.0, 0.0),
            Verdict.NO_DIFFERENCE,
            "no: no difference worth having (within ± 0.5 points)",
        ),
        (
            (0.001, -0.001, 0.0, 0.001, -0.001),
            Verdict.NO_DIFFERENCE,
            "no: no difference worth having (within ± 0.5 points)",
        ),
        ((0.002, 0.002, 0.003, 0.002), Verdict.BETTER, "yes, but by less than 0.5 points"),
    ],
)
def test_planted_verdicts(gains: Sequence[float], verdict: Verdict, words: str) -> None:
    rows = judge(pair_of_methods(gains)).rows
    assert [row.measure for row in rows] == [Measure.AREA, Measure.FINAL]
    for row in rows:  # the gain is the same in every round, so both measures are equal
        assert (row.verdict, verdict_in_words(row)) == (verdict, words)
        assert (row.baseline, row.span) == (RANDOM, (10, 30))
        assert row.test is not None
        assert row.test.mean == pytest.approx(sum(gains) / len(gains))


def test_area_and_end_may_disagree() -> None:
    gains = (0.04, 0.05, 0.06)
    records = [
        run
        for seed, gain in enumerate(gains)
        for run in (
            a_run(RANDOM, seed, (0.5, 0.6, 0.7)),
            a_run("aral+aral", seed, (0.5, 0.6 + 2 * gain, 0.7 - gain)),
        )
    ]
    along, end = judge(records).rows
    assert along.test is not None and end.test is not None
    # Trapezoids over 20 labels: (10 · (0 + 2g) / 2 + 10 · (2g − g) / 2) / 20 = 3g / 4.
    assert along.test.mean == pytest.approx(0.05 * 0.75)
    assert end.test.mean == pytest.approx(-0.05)
    assert (along.verdict, end.verdict) == (Verdict.BETTER, Verdict.WORSE)


def test_more_methods_make_it_harder() -> None:
    # Alone: t = 4 / (1 / √3) with 2 degrees of freedom, p = 1 − √(48 / 50) = 0.0202.
    gains = (0.03, 0.04, 0.05)
    alone = area(pair_of_methods(gains))
    assert alone.corrected_t_p == pytest.approx(0.0202, abs=1e-4)
    assert alone.verdict is Verdict.BETTER
    many = pair_of_methods(gains)
    for other in ("vaal+vaal", "supervised+margin"):
        many += [run for run in pair_of_methods((0.04, -0.05, 0.06), other) if run.method == other]
    among = area(many)
    assert among.corrected_t_p == pytest.approx(3 * 0.0202, abs=3e-4)
    assert among.corrected_flip_p == pytest.approx(3 * 0.25)
    assert among.verdict is Verdict.CANNOT_TELL
    assert among.seeds_needed is not None and among.seeds_needed > 3


def test_baselines() -> None:
    methods = ("aral+aral", "aral+random", "vaal+vaal", RANDOM)
    records = [a_run(method, 0, (0.5, 0.6, 0.7)) for method in methods]
    assert {row.method: row.baseline for row in judge(records).rows} == {
        "aral+aral": "aral+random", "aral+random": RANDOM, "vaal+vaal": RANDOM,
    }  # fmt: skip
    given_one = judge(records, baseline="vaal+vaal")
    assert {row.baseline for row in given_one.rows} == {"vaal+vaal"}
    assert {row.method for row in given_one.rows} == {"aral+aral", "aral+random", RANDOM}
    without = judge(records[2:3])
    assert (without.rows, without.unjudged) == ((), ("vaal+vaal",))
    assert "Add runs of supervised+random" in verdict_lines(without)
    assert "Add runs of supervised+random" in verdict_part(without).nothing
    with pytest.raises(BadInput, match=r"Unknown baseline 'vaal\+val'"):
        judge(records, baseline="vaal+val")
    for wrong in (0.0, 90.0, float("nan")):
        with pytest.raises(BadInput, match="not in"):
            judge(records, targets=[wrong])


def test_only_shared_seeds_and_shared_labels_count() -> None:
    records = [
        a_run(RANDOM, 0, (0.5, 0.6, 0.7)),
        a_run(RANDOM, 1, (0.5, 0.6, None)),
        a_run(RANDOM, 2, (0.1, 0.1, 0.1)),
        a_run("vaal+vaal", 0, (0.5, 0.8), labelled=(10, 30)),
        a_run("vaal+vaal", 1, (0.6, 0.9), labelled=(10, 30)),
        a_run("vaal+vaal", 3, (1.0, 1.0, 1.0)),
    ]
    along, end = judge(records).rows
    assert (along.seeds, along.span) == ((0, 1), (10, 20))
    assert along.test is not None and end.test is not None
    # With 20 labels vaal is interpolated: 0.65 and 0.75 against 0.6; means on the way 0.575 and 0.675.
    assert end.test.differences == pytest.approx((0.05, 0.15))
    assert along.test.differences == pytest.approx((0.575 - 0.55, 0.675 - 0.55))


def test_runs_with_nothing_in_common() -> None:
    apart = [a_run(RANDOM, 0, (0.5,), (10,)), a_run("vaal+vaal", 0, (0.5,), (20,))]
    row = judge(apart).rows[0]
    assert (row.test, row.span, row.verdict) == (None, None, Verdict.CANNOT_TELL)
    assert "No number of labels" in verdict_lines(judge(apart))
    strangers = judge([a_run(RANDOM, 0, (0.5,), (10,)), a_run("vaal+vaal", 1, (0.5,), (10,))])
    assert verdict_in_words(strangers.rows[0]) == "cannot tell with 0 seeds"
    assert "No seed in common" in verdict_lines(strangers)
    assert strangers.targets == ()
    assert verdict_part(strangers).lines[0].seeds == 0


def test_other_first_labels_are_told() -> None:
    records = [
        a_run(RANDOM, 0, (0.5,), (10,), first_ids=(1, 2)),
        a_run("vaal+vaal", 0, (0.5,), (10,), first_ids=(2, 1)),
        a_run(RANDOM, 4, (0.5,), (10,), first_ids=(1, 2)),
        a_run("vaal+vaal", 4, (0.5,), (10,), first_ids=(1, 3)),
    ]
    assert judge(records).rows[0].other_starts == (4,)
    assert "First labels differ in seed 4." in verdict_lines(judge(records))


def test_labels_for_targets() -> None:
    records = [
        a_run(RANDOM, 0, (0.5, 0.6, 0.7)),
        a_run(RANDOM, 1, (0.5, 0.6, 0.8)),
        a_run("vaal+vaal", 0, (0.6, 0.75, 0.75)),
        a_run("vaal+vaal", 1, (0.6, 0.75, 0.85)),
    ]
    first, second, third, fourth = judge(records, targets=(0.55, 0.78, 0.99)).targets
    # Random ends at 0.75 with 30 labels; vaal's mean reaches that with 20.
    assert first.target == pytest.approx(0.75)
    assert isinstance(first.needed, Reached) and isinstance(first.baseline_needed, Reached)
    assert (first.needed.labels, first.baseline_needed.labels) == (pytest.approx(20), pytest.approx(30))
    assert saved_in_words(first.saved) == "10 saved"
    assert (first.runs_reaching, first.baseline_runs_reaching, first.seeds) == (2, 1, 2)
    assert second.needed == ReachedAtStart(10)
    assert saved_in_words(second.saved) == "5 to 15 saved", "random needs 15 labels for 0.55"
    assert isinstance(third.needed, Reached)
    assert (third.needed.labels, third.baseline_needed) == (pytest.approx(26), NotReached(30))
    assert saved_in_words(third.saved) == "more than 4 saved"
    assert (fourth.needed, saved_in_words(fourth.saved)) == (NotReached(30), "cannot tell")


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.0, 0.0), "none"),
        ((7.6, 7.6), "8 saved"),
        ((-7.6, -7.6), "8 more needed"),
        ((-float("inf"), -3.0), "more than 3 more needed"),
        ((-9.0, -3.0), "3 to 9 more needed"),
        ((-9.0, 3.0), "cannot tell"),
        ((-9.0, float("inf")), "cannot tell"),
    ],
)
def test_labels_saved_in_words(interval: tuple[float, float], words: str) -> None:
    assert saved_in_words(Interval(*interval)) == words


def test_numbers_in_words() -> None:
    assert [needed_in_words(needed) for needed in (Reached(20.0), Reached(20.2))] == ["20", "21"]
    assert needed_in_words(NotReached(30)) == "not reached with 30"
    assert needed_in_words(ReachedAtStart(10)) == "at most 10"
    assert [points(value) for value in (0.021, -0.021, 0.00001, -0.00001)] == [
        "+2.10",
        "−2.10",
        "0.00",
        "0.00",
    ]


def test_seeds_that_would_settle_it() -> None:
    # Deviation of ±1 point around 0.5 points.
    open_row = area(pair_of_methods((0.015, -0.005, 0.015, -0.005)))
    assert open_row.seeds_needed is not None
    assert seeds_in_words(open_row) == f"about {open_row.seeds_needed}"
    assert seeds_in_words(area(pair_of_methods((0.01, 0.02)))) == "at least 3 for an estimate"
    assert seeds_in_words(area(pair_of_methods((0.04, 0.05, 0.06)))) == "settled"
    # The mean is just at the margin and the deviation wide.
    assert seeds_in_words(area(pair_of_methods((0.205, -0.195, 0.005)))) == "more than 1000"


def test_wins_by_hand() -> None:
    # With 10 labels nothing differs; with 20 and 30 the method is higher by 4, 5 and 6 points.
    records = [
        run
        for seed, gain in enumerate((0.04, 0.05, 0.06))
        for run in (
            a_run(RANDOM, seed, (0.5, 0.6, 0.7)),
            a_run("vaal+vaal", seed, (0.5, 0.6 + gain, 0.7 + gain)),
            a_run("other+other", seed, (0.5,), (15,)),
        )
    ]
    wins = judge(records).wins
    assert wins.methods == (RANDOM, "vaal+vaal", "other+other")
    assert wins.shares == ((None, 0.0, None), (pytest.approx(2 / 3), None, None), (None, None, None))


dyadic = st.integers(8, 32).map(lambda count: count / 64)
seeds = st.lists(st.tuples(dyadic, dyadic), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(0, 32).map(lambda count: count / 64))
def test_a_constant_changes_no_verdict(scores: list[tuple[float, float]], constant: float) -> None:
    plain, raised = (
        judge(
            [
                a_run(method, seed, (value + more, value + more), (8, 16))
                for seed, both in enumerate(scores)
                for method, value in zip(("vaal+vaal", RANDOM), both, strict=True)
            ]
        )
        for more in (0.0, constant)
    )
    assert plain.rows == raised.rows


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_swapping_method_and_baseline_swaps_the_verdict(scores: list[tuple[float, float]]) -> None:
    swapped = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
    records = [
        a_run(method, seed, (value, value), (8, 16))
        for seed, both in enumerate(scores)
        for method, value in zip(("a+a", "b+b"), both, strict=True)
    ]
    for row, back in zip(judge(records, "a+a").rows, judge(records, "b+b").rows, strict=True):
        assert back.verdict is swapped.get(row.verdict, row.verdict)
        assert row.test is not None and back.test is not None
        assert back.test.mean == -row.test.mean


def test_csv_and_json() -> None:
    verdicts = judge(pair_of_methods((0.04, 0.05, 0.06)), targets=[0.99])
    rows = list(csv.DictReader(verdicts_csv(verdicts).splitlines()))
    assert [(row["measure"], row["words"], row["seeds"]) for row in rows] == [
        ("area", "yes", "0 1 2"), ("final accuracy", "yes", "0 1 2"),
    ]  # fmt: skip
    assert float(rows[0]["mean"]) == pytest.approx(0.05)
    assert float(rows[0]["deviation"]) == pytest.approx(0.01)
    assert rows[0]["seeds_needed"] == ""
    read = json.loads(verdicts_json(verdicts))
    assert list(read) == ["verdicts", "targets", "without_baseline", "curves", "runs", "wins"]
    assert read["verdicts"][0]["differences"] == pytest.approx([0.04, 0.05, 0.06])
    assert read["targets"][1]["needed"] == {
        "labels": 30, "known": "not reached", "words": "not reached with 30",
    }  # fmt: skip
    assert read["targets"][1]["saved"] == {"low": None, "high": None}
    assert read["without_baseline"] == [], "random is the baseline itself"
    end = read["curves"][-1]
    # 4.3027 · 0.01 / √3 = 0.02484.
    assert end["interval"]["high"] - end["mean"] == pytest.approx(0.02484, abs=1e-5)
    assert read["runs"][0]["area"] == pytest.approx(0.625)


def test_on_the_page(make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aral.reports.html.svg_bytes", lambda figure: b"<svg/>")
    folders = [
        make_run(f"{method}-{seed}", method=method, seed=seed, accuracies=(0.5, 0.6 + gain), pictures=False)
        for seed, plus in enumerate((0.04, 0.05, 0.06))
        for method, gain in (("aral+aral", plus), ("aral+random", 0.0))
    ]
    page = write_comparison(folders, tmp_path / "out", targets=[0.62]).read_text()
    for words in (
        "Better than random?", '<td class="verdict better">', "▲", "<strong>yes</strong>",
        "+2.50 points on average from 10 to 20 labels",
        "+5.00 points on average with 20 labels", "settled", "62.00", "Paired differences",
        "How often one method is significantly better than another",
    ):  # fmt: skip
        assert words in page, words
    assert "Without a verdict" not in page
    text = (tmp_path / "out" / "comparison.txt").read_text()
    assert "aral+aral, final accuracy: better than random (aral+random): yes. +5.00 points" in text
    assert json.loads((tmp_path / "out" / "verdicts.json").read_text())["verdicts"][0]["verdict"] == "better"
    with pytest.raises(BadInput, match="Unknown baseline"):
        write_comparison(folders, tmp_path / "none", baseline="rondom")
    assert not (tmp_path / "none").exists()


def test_without_a_baseline_the_page_says_what_to_add(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aral.reports.html.svg_bytes", lambda figure: b"<svg/>")
    page = write_comparison([make_run(pictures=False)], tmp_path / "out").read_text()
    assert "Add runs of supervised+random" in page
    assert 'class="verdict' not in page
