"""Comparisons as plain text, and the words for their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from aral.benchmarking import Conditions, Interval, NotReached, Parity, Reached, ReachedAtStart, compare_runs
from aral.reports import comparison_text, condition_lines, unequal_settings_line
from aral.reports.text import (
    duration,
    needed_in_words,
    points,
    saved_in_words,
    seeds_in_words,
    verdict_in_words,
    verdict_lines,
)
from aral.testing import run_record, runs_with_gains

RANDOM = "supervised+random"


@pytest.mark.parametrize(
    ("gains", "words", "seeds"),
    [
        ((0.04, 0.05, 0.06, 0.05, 0.04), "better", "–"),
        ((0.002, 0.002, 0.003, 0.002), "better, but by less than 0.5 points", "–"),
        ((-0.04, -0.05, -0.06, -0.05, -0.04), "worse", "–"),
        ((0.0, 0.0, 0.0), "no practical difference (within ± 0.5 points)", "–"),
        ((0.25, 0.25, 0.25), "inconclusive with 3 seeds", "unknown"),
        ((0.04,), "inconclusive with 1 seed", "at least 3"),
        ((0.205, -0.195, 0.005), "inconclusive with 3 seeds", "more than 1000"),
        # Mean 1, deviation 2.309: 44 seeds give (2.017 + 0.851) · 2.309 / √44 = 0.998 ≤ 1, 43 give 1.010.
        ((0.03, -0.01, 0.03, -0.01), "inconclusive with 4 seeds", "about 44"),
    ],
)
def test_verdicts_in_words(gains: Sequence[float], words: str, seeds: str) -> None:
    row = compare_runs(runs_with_gains(gains)).verdicts[0]
    assert (verdict_in_words(row), seeds_in_words(row)) == (words, seeds)


def test_a_comparison_as_text() -> None:
    text = comparison_text(compare_runs(runs_with_gains((0.04, 0.05, 0.06)), targets=(0.7,)))
    assert "75.00 ± 0.00 (3)" in text
    assert (
        "supervised+badge against supervised+random, final accuracy: better. "
        "+5.00 points on average with 30 labels; 95 % interval +2.52 to +7.48; corrected p 0.013 "
        "by the paired t-test."
    ) in text
    assert "supervised+badge, labels for 70.0 %: 22 (supervised+random: 26; 4 saved; 3 seeds)." in text


def test_what_decides_is_said() -> None:
    records = runs_with_gains((0.02, 0.03, 0.05))
    for name, gains in (("vaal+vaal", (0.01, 0.03, 0.02)), ("supervised+margin", (0.2, -0.2, 0.1))):
        records += [run for run in runs_with_gains(gains, name) if run.method == name]
    records += [run_record("vaal+vaal", 3, (0.5, 0.6, 0.7)), run_record("vaal+vaal", 4, (0.5,), (10,))]
    lines = verdict_lines(compare_runs(records))
    pooled = next(line for line in lines if line.startswith("supervised+badge against"))
    assert (
        "by the deviation pooled over 10 runs, all but those of supervised+margin (paired t-test alone: 0.190)."
    ) in pooled
    assert "Not pooled, as they do not cover these labels: vaal+vaal-4." in pooled
    uneven = next(line for line in lines if line.startswith("supervised+margin against"))
    assert (
        "by the paired t-test, as the deviation of supervised+margin is larger than that of the other"
        in uneven
    )
    unpaired = next(line for line in lines if line.startswith("vaal+vaal against"))
    assert "Not counted, as only one of the two methods has a run: seeds 3, 4." in unpaired
    equal = verdict_lines(compare_runs(runs_with_gains((0.25, 0.25, 0.25))))[0]
    assert equal.endswith(
        "+25.00 points on average from 10 to 30 labels. All seeds differ by the same amount: "
        "there is no deviation to test against."
    )


def test_text_without_verdicts() -> None:
    alone = compare_runs([run_record("vaal+vaal", 0, (0.5,), (10,))])
    assert "Add runs of supervised+random" in comparison_text(alone)
    apart = [run_record(RANDOM, 0, (0.5,), (10,)), run_record("vaal+vaal", 0, (0.5,), (20,))]
    assert "No number of labels that all runs cover." in verdict_lines(compare_runs(apart))[0]
    strangers = [run_record(RANDOM, 0, (0.5,), (10,)), run_record("vaal+vaal", 1, (0.5,), (10,))]
    assert "inconclusive with 0 seeds. No seed in common." in verdict_lines(compare_runs(strangers))[0]
    starts = [
        run_record(RANDOM, 4, (0.5,), (10,), first_ids=(1, 2)),
        run_record("vaal+vaal", 4, (0.5,), (10,), first_ids=(1, 3)),
    ]
    assert "First labels differ in seed 4." in verdict_lines(compare_runs(starts))[0]


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.0, 0.0), "none saved"),
        ((7.6, 7.6), "8 saved"),
        ((4.0, float("inf")), "more than 4 saved"),
        ((-7.6, -7.6), "8 more needed"),
        ((-float("inf"), -3.0), "more than 3 more needed"),
        ((-float("inf"), -0.0), "some more needed"),
        ((-9.0, -3.0), "3 to 9 more needed"),
        ((-9.0, 3.0), "saving unknown"),
        ((-9.0, float("inf")), "saving unknown"),
    ],
)
def test_labels_saved_in_words(interval: tuple[float, float], words: str) -> None:
    assert saved_in_words(Interval(*interval)) == words


def test_numbers_in_words() -> None:
    assert [needed_in_words(needed) for needed in (Reached(20.0), Reached(20.2))] == ["20", "21"]
    assert needed_in_words(NotReached(30)) == "not reached with 30"
    assert needed_in_words(ReachedAtStart(10)) == "at most 10"
    signed = [points(value) for value in (0.021, -0.021, 0.00001, -0.00001)]
    assert signed == ["+2.10", "−2.10", "0.00", "0.00"]
    assert [duration(seconds) for seconds in (0.0, 59.94, 60.0, 3599.6, 7500.0)] == [
        "0.0 s", "59.9 s", "1 min 00 s", "1 h 00 min", "2 h 05 min",
    ]  # fmt: skip


def test_settings_that_are_not_shared_are_one_line() -> None:
    runs = runs_with_gains((0.01,))
    names = ("learner.networks.scale", "learner.networks.widths", "rounds.first_query", "steps before labels")
    parity = [Parity(seed, "", 0, tuple(f"{name}: a 1, b 2" for name in names)) for seed in (0, 1)]
    line = unequal_settings_line(compare_runs(runs, parity=parity))
    assert "4 settings (networks, first query, steps before labels)" in line
    assert unequal_settings_line(compare_runs(runs, parity=[Parity(0, "ab", 2, ())])) == ""
    assert unequal_settings_line(compare_runs(runs)) == ""


def test_unequal_conditions_are_said() -> None:
    equal, unequal = Parity(6, "0123456789ab", 2, ()), Parity(7, "", 1, ("training.steps: a 1, b 2",))
    comparison = compare_runs(runs_with_gains((0.01,)), parity=(equal, unequal))
    first, second = condition_lines(comparison)
    assert "0123456789ab (2 runs verified)" in first and "UNEQUAL: training.steps: a 1, b 2" in second
    assert condition_lines(replace(comparison, conditions=Conditions())) == []


def test_another_metric_is_named_in_the_text() -> None:
    records = [
        replace(
            record,
            rounds=tuple(
                replace(each, numbers={**each.numbers, "macro F1": each.accuracy or 0.0})
                for each in record.rounds
            ),
        )
        for record in runs_with_gains((0.04, 0.05, 0.06))
    ]
    text = comparison_text(compare_runs(records, metric="macro F1"))
    assert text.startswith("Compared by the macro F1") and "final macro F1: better" in text
    assert "labels for 75.0 % macro F1:" in text
    plain = comparison_text(compare_runs(records))
    assert "final accuracy: better" in plain and "Compared by" not in plain
    table = plain.split("\n\n")[1]
    assert table.splitlines()[0].split() == [
        "method",
        "labels",
        "accuracy",
        "balanced",
        "accuracy",
        "macro",
        "F1",
    ]
    assert "75.00 ± 0.00 (3)" in table
