"""A slower learner takes over only where labels that it has not seen say that it is better."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aral.acquisition import Need
from aral.annotation.refinement import Comparison, Refined, Refinement, Score, folds
from aral.benchmarking import make_learner
from aral.learners import LEARNERS, Learner, LearnerSettings
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

STREAM = Stream.root(3).child("refinement")


def finish(work: Generator[float, None, Refined]) -> tuple[Refined, list[float]]:
    shares = []
    while True:
        try:
            shares.append(next(work))
        except StopIteration as done:
            return done.value, shares


def points(count: int = 40) -> tuple[ImageSet, np.ndarray]:
    """Two classes around (−2, 0) and (2, 0)."""
    classes = np.arange(count) % 2
    noise = torch.randn(count, 2, generator=torch.Generator().manual_seed(0))
    vectors = noise + torch.tensor([[-2.0, 0.0], [2.0, 0.0]])[classes]
    return ImageSet.of(vectors[:, :, None, None]), classes


def learner(inverse_penalty: float) -> LearnerSettings:
    """Logistic regression; with a tiny number it predicts the same for all images."""
    return LEARNERS["linear"].model_validate(
        {"name": "linear", "inverse_penalty": inverse_penalty, "calibrated": False}
    )


GOOD, POOR = learner(1.0), learner(1e-9)


def labelled(pool: ImageSet, classes: np.ndarray, count: int) -> LabelledSet:
    ids = np.arange(count, dtype=np.int64)
    return LabelledSet(pool.subset(ids), classes[:count].astype(np.int64), 2)


def test_the_slower_learner_takes_over_where_it_is_better() -> None:
    pool, classes = points()
    result, shares = finish(Refinement(pool, POOR, GOOD).work(labelled(pool, classes, 21), STREAM))
    assert result.comparison.count == 21
    assert result.comparison.slow.correct > result.comparison.quick.correct
    assert result.learner is not None
    assert shares == sorted(shares) and 0 <= shares[0] and shares[-1] < 1
    sentence = result.comparison.sentence("quick", "slow")
    assert f"slow {result.comparison.slow.correct} of 21: slow is used" in sentence


def test_the_quick_learner_stays_where_it_is_better() -> None:
    pool, classes = points()
    result, _ = finish(Refinement(pool, GOOD, POOR).work(labelled(pool, classes, 21), STREAM))
    assert result.learner is None and not result.comparison.slow_is_better


@pytest.mark.parametrize(
    ("slow", "quick", "better"),
    [
        (Score(8, 1.0), Score(7, 0.1), True),
        (Score(7, 0.1), Score(8, 1.0), False),
        (Score(7, 0.4), Score(7, 0.5), True),
        (Score(7, 0.5), Score(7, 0.5), False),
    ],
)
def test_more_correct_answers_decide_and_between_equal_ones_the_cross_entropy(
    slow: Score, quick: Score, better: bool
) -> None:
    assert Comparison(10, quick, slow).slow_is_better is better


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(2, 5))
def test_every_label_of_a_class_with_several_is_left_out_once(found: list[int], count: int) -> None:
    classes = np.array(found, dtype=np.int64)
    parts = folds(classes, count, STREAM)
    out = np.sort(np.concatenate([*parts, np.empty(0, dtype=np.int64)]))
    sizes = np.bincount(classes)
    assert out.tolist() == np.flatnonzero(sizes[classes] > 1).tolist()
    for part in parts:
        # What is trained on holds at least one label of every class that is left out.
        rest = np.setdiff1d(np.arange(classes.size), part)
        assert set(classes[part]) <= set(classes[rest])
    largest = max((len(part) for part in parts), default=0)
    assert all(largest - len(part) <= 1 for part in parts)


def test_too_few_labels_are_not_compared() -> None:
    pool, _ = points()
    work = Refinement(pool, GOOD, POOR)
    assert not work.can_compare(np.array([0, 1] * 4))
    assert not work.can_compare(np.array([0] * 11 + [1]))
    assert work.can_compare(np.array([0, 1] * 5))


def test_labels_that_are_left_out_are_not_trained_on() -> None:
    """Classes by chance, and room to learn them by heart: only labels that were seen are predicted well."""
    vectors = torch.randn(30, 200, generator=torch.Generator().manual_seed(1))
    classes = np.random.default_rng(1).permutation(np.arange(30) % 2)
    result, _ = finish(
        Refinement(ImageSet.of(vectors[:, :, None, None]), GOOD, learner(100.0)).work(
            labelled(ImageSet.of(vectors[:, :, None, None]), classes, 30), STREAM
        )
    )
    assert result.comparison.quick.correct < 24 and result.comparison.slow.correct < 24


def test_a_learner_that_is_too_confident_is_calibrated() -> None:
    """Overlapping classes, learned with hardly a penalty."""
    pool, classes = points(200)
    noisy = ImageSet.of(
        pool.pixels * 0.2 + torch.randn(200, 2, 1, 1, generator=torch.Generator().manual_seed(2))
    )
    known = labelled(noisy, classes, 30)
    result, _ = finish(Refinement(noisy, POOR, learner(1e6)).work(known, STREAM))
    assert result.learner is not None
    rest = noisy.without(known.images.ids)

    def probabilities(of: Learner) -> torch.Tensor:
        return of.predict(rest, {Need.PROBABILITIES}, STREAM).get(Need.PROBABILITIES)

    plain = make_learner(learner(1e6), noisy, 2, STREAM.child("all"))
    plain.start_round(0, known, rest, STREAM.child("all"))
    plain.step(0)
    ours, without = probabilities(result.learner), probabilities(plain)
    assert torch.equal(ours.argmax(dim=1), without.argmax(dim=1)), "the classes stay"
    assert ours.max(dim=1).values.mean() < without.max(dim=1).values.mean()
