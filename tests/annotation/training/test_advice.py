"""Advice from planted curves: a known power law, a flat curve, too little to say anything."""

from __future__ import annotations

import pytest

from aral.annotation import Advice, Estimate, ModelRecord
from aral.annotation.advice import Point, Unknown, advise, gain, sentence


def power_law(a: float, b: float, labels: list[int], measured: int) -> list[Point]:
    return [Point(n, measured * (1 - a * n**-b), measured) for n in labels]


def told(advice: Advice | Unknown) -> Advice:
    assert isinstance(advice, Advice)
    return advice


def test_the_gain_of_a_known_curve() -> None:
    # error = 2 · n^−0.5: at 100 labels 20 %, at 150 labels 16.33 %: 3.67 points to be gained.
    found = told(gain(power_law(2.0, 0.5, [25, 50, 75, 100], 100_000), 50))
    assert found.gain == pytest.approx(3.67, abs=0.05)
    assert found.low < 3.67 < found.high and found.high - found.low < 1
    assert found.next_labels == 50


def test_fewer_estimate_labels_give_a_wider_interval() -> None:
    sure, unsure = (told(gain(power_law(2.0, 0.5, [25, 50, 100], measured), 50)) for measured in (4000, 40))
    # Ten times fewer images to a tenth: the half width grows with the root.
    assert (unsure.high - unsure.low) / (sure.high - sure.low) == pytest.approx(10, rel=0.2)


def test_a_flat_curve_is_not_worth_another_batch() -> None:
    found = told(gain(power_law(0.05, 0.0, [50, 100, 200, 400], 20_000), 10))
    assert found.gain == pytest.approx(0, abs=0.05)
    assert "hardly worth it" in found.sentence


def test_a_falling_curve_promises_no_loss() -> None:
    found = told(gain([Point(10, 90.0, 100), Point(20, 85.0, 100), Point(40, 80.0, 100)], 20))
    assert found.gain == 0 and found.high > 0


def test_the_sentence() -> None:
    assert sentence(50, 0.8, 0.4) == "The next 50 labels: about +0.8 ± 0.4 points."


def record(labels: int, accuracy: float | None, measured: int = 50) -> ModelRecord:
    estimate = None if accuracy is None else Estimate(accuracy, 0.0, 1.0, measured)
    return ModelRecord(0, f"models/{labels}", labels, 1.0, (0, 1), estimate)


def test_it_says_when_it_cannot_tell() -> None:
    two = [record(10, 0.5), record(20, None), record(30, 0.6)]
    assert isinstance(advise(two, 10), Unknown)
    assert isinstance(advise([*two, record(30, 0.62)], 10), Unknown), "equally many labels are one point"
    assert isinstance(advise([*two, record(40, 0.7)], 10), Advice)
    few = [record(labels, 0.5, measured=9) for labels in (10, 20, 30)]
    reason = advise(few, 10)
    assert isinstance(reason, Unknown) and "9" in reason.reason
