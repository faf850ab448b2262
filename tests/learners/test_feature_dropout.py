"""Dropout on the features that a classifier reads: one mask a pass, which learners supply it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.acquisition import Need
from aral.benchmarking import make_learner
from aral.learners import LinearSettings
from aral.learners.feature_dropout import dropped_classes
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

STREAM = Stream.root(0)


def test_one_mask_a_pass_for_all_images_and_the_rest_is_scaled_up() -> None:
    seen: list[torch.Tensor] = []

    def classify(features: torch.Tensor) -> torch.Tensor:
        seen.append(features)
        return features.flatten(1)

    ones = torch.ones(4, 1000, 1, 1)
    dropped_classes(classify, ones, STREAM, passes=3, rate=0.75)
    assert len(seen) == 3
    for values in seen:
        assert (values == values[0]).all()
        assert set(values.unique().tolist()) == {0.0, 4.0}
        assert values[0].mean() == pytest.approx(1.0, abs=0.2)
    assert not torch.equal(seen[0], seen[1])


def test_the_class_is_that_of_the_largest_feature_left() -> None:
    """Class k is feature k, of which all but one are dropped in most passes; a feature of 0 never wins."""
    features = torch.arange(1.0, 9.0).reshape(1, 8, 1, 1)
    found = dropped_classes(lambda values: values.flatten(1), features, STREAM, passes=40, rate=0.5)[0]
    shares = torch.bincount(found, minlength=8) / 40
    assert shares[7] == pytest.approx(0.5, abs=0.2)  # kept with probability 1/2, and then it is the largest
    assert shares[6] == pytest.approx(0.25, abs=0.2)


def test_logistic_regression_supplies_it_whatever_the_batch() -> None:
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(30, 6, 1, 1))).float()
    pool = ImageSet.of(features)
    classes = (features[:, 0, 0, 0] > 0).long().numpy()
    found = {}
    for batch in (7, 30):
        settings = LinearSettings.model_validate({"prediction": {"batch": batch}})
        learner = make_learner(settings, pool, 2, STREAM)
        learner.start_round(0, LabelledSet(pool, classes, 2), pool.subset(np.arange(1)), STREAM)
        learner.step(0)
        found[batch] = learner.predict(pool, {Need.DROPPED_CLASSES}, STREAM).get(Need.DROPPED_CLASSES)
    assert found[7].shape == (30, 3)
    assert torch.equal(found[7], found[30])
    assert 0 < (found[7] != torch.from_numpy(classes)[:, None]).double().mean() < 1
