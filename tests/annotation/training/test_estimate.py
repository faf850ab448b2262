"""The exact interval against values worked out by hand, its coverage, and figures by class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies
from scipy.stats import binom

from aral.annotation import Estimate, Project, Trainer, status
from aral.annotation.accuracy_estimate import class_figures, estimate_accuracy, exact_interval
from aral.annotation.advice import SAMPLING_NOTE, sampling_note
from aral.annotation.model_cards import model_card
from aral.testing import TINY_TRAINING, answer_event, digit_class, run_trainer


def test_eight_of_ten() -> None:
    # The chance of 8 or more of 10 is 2.5 % at 0.4439, that of 8 or fewer at 0.9748 (Clopper and Pearson's table).
    found = exact_interval(8, 10)
    assert (found.accuracy, found.count) == (0.8, 10)
    assert found.low == pytest.approx(0.4439, abs=1e-4)
    assert found.high == pytest.approx(0.9748, abs=1e-4)
    assert binom.sf(7, 10, found.low) == pytest.approx(0.025) == binom.cdf(8, 10, found.high)


def test_no_error_among_ten_is_no_proof() -> None:
    # Ten of ten have the chance p¹⁰, which is 2.5 % at p = 0.025^(1/10).
    assert exact_interval(10, 10).low == pytest.approx(0.025**0.1)
    assert exact_interval(10, 10).high == 1.0
    assert exact_interval(0, 10).high == pytest.approx(1 - 0.025**0.1)


@given(
    strategies.integers(1, 500).flatmap(
        lambda n: strategies.tuples(strategies.integers(0, n), strategies.just(n))
    )
)
def test_the_share_lies_inside_and_mirrors(counts: tuple[int, int]) -> None:
    right, count = counts
    found, mirrored = exact_interval(right, count), exact_interval(count - right, count)
    assert 0 <= found.low <= found.accuracy <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize("truth", [0.5, 0.8, 0.95, 0.994])
@pytest.mark.parametrize("count", [5, 25, 200])
def test_it_covers_the_truth_at_least_as_often_as_it_says(truth: float, count: int) -> None:
    """Exactly: the chance of every count of right answers, summed where the interval holds the truth."""
    found = [exact_interval(right, count) for right in range(count + 1)]
    holds = np.array([each.low <= truth <= each.high for each in found])
    covered = float(binom.pmf(np.arange(count + 1), count, truth)[holds].sum())
    assert 0.95 <= covered <= 1.0


def test_figures_by_class() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    estimate, confusion = estimate_accuracy(probabilities, np.array([0, 1, 1, 1]))
    assert estimate is not None and (estimate.accuracy, estimate.count) == (0.75, 4)
    assert confusion.tolist() == [[1, 0], [1, 2]]
    first, second = class_figures((7, 9), confusion, np.array([1, 1, 0]))
    assert (first.class_id, first.labels, second.class_id, second.labels) == (7, 1, 9, 2)
    assert first.recall is not None and second.recall is not None
    assert (first.recall.accuracy, second.recall.accuracy, second.recall.count) == (1.0, 2 / 3, 3)


def test_without_labels_there_is_no_estimate() -> None:
    nothing, confusion = estimate_accuracy(np.empty((0, 2)), np.empty(0, dtype=np.int64))
    assert nothing is None and confusion.sum() == 0
    assert class_figures((0, 1), confusion, np.empty(0, dtype=np.int64))[0].recall is None


def test_late_images_are_stated_wherever_the_accuracy_is_shown(trained: Project) -> None:
    before = trained.models.all()[-1].estimate
    assert before is not None and before.late == 0 and model_card(trained).count(SAMPLING_NOTE) == 1
    trained.settings.set(replace(trained.settings.get(), budget=60, estimate_share=0.5))
    late = trained.estimate.late_ids().tolist()
    assert len(late) == 10
    trained.annotations.append_many(
        [answer_event(image, digit_class(trained.images.get(image).name)) for image in late[:4]]
    )
    trainer = Trainer(trained, TINY_TRAINING)
    run_trainer(trainer)
    trainer.close()
    estimate = trained.models.all()[-1].estimate
    assert estimate is not None and (estimate.count, estimate.late) == (before.count + 4, 4)
    said = sampling_note(estimate)
    assert (
        said.startswith(SAMPLING_NOTE)
        and f"4 images of {estimate.count} joined the estimate set later" in said
    )
    assert said in model_card(trained) and said in status(trained).sentences
    assert status(trained).facts["estimate"]["late"] == 4


def test_an_estimate_set_drawn_at_once_has_no_late_images() -> None:
    assert sampling_note(None) == sampling_note(Estimate(0.5, 0.2, 0.8, 10)) == SAMPLING_NOTE
    assert "1 image of 10 joined the estimate set later" in sampling_note(Estimate(0.5, 0.2, 0.8, 10, late=1))
