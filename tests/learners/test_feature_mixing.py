"""Features mixed with those of labelled images: values by hand on linear heads, and which learners supply them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from aral.acquisition import Need
from aral.benchmarking import make_learner
from aral.learners import LinearSettings
from aral.learners.feature_mixing import class_anchors, mixing_changes
from aral.randomness import Stream
from aral.testing import tiny_settings
from aral.types import ImageSet, LabelledSet

STREAM = Stream.root(0)


def identity(features: Tensor) -> Tensor:
    """Class k has the logit z_k."""
    return features


def test_anchors_are_the_means_of_the_classes_that_have_labels() -> None:
    features = torch.tensor([[1.0, 0.0], [5.0, 5.0], [3.0, 4.0]])
    assert class_anchors(features, np.array([2, 0, 2])).tolist() == [[5.0, 5.0], [2.0, 2.0]]


def test_changes_on_a_head_of_two_classes() -> None:
    """At z = (3, 1) the gradient points along (−1, 1)/√2, so class 1 is predicted after a step longer than √2.

    A step is ε·√2 = m times the distance of the anchor, divided by √2: the class changes where m·distance > 2. The
    anchors are at distances 4, 9 and 0.
    """
    anchors = torch.tensor([[3.0, 5.0], [12.0, 1.0], [3.0, 1.0]])
    found = mixing_changes(identity, torch.tensor([[3.0, 1.0]]), anchors, (0.2, 0.4, 0.6, 0.8, 1.0))
    assert found.tolist() == [[0, 1, 2, 2, 2]]


def test_the_mixture_is_that_of_equation_5() -> None:
    """α of eq. 5, computed as it is written, for a head of three classes and an anchor that differs everywhere."""
    weights = torch.tensor([[1.0, 0.5, -0.2], [-0.3, 0.8, 0.1], [0.2, -0.6, 0.9]])
    z, anchor = torch.tensor([0.7, -0.4, 0.2]), torch.tensor([-1.0, 2.0, 1.5])
    seen: list[Tensor] = []

    def head(points: Tensor) -> Tensor:
        seen.append(points.detach())
        return points @ weights.T

    mixing_changes(head, z[None], anchor[None], (0.3,))
    share = torch.softmax(weights @ z, dim=0)
    gradient = weights.T @ (share - torch.eye(3)[share.argmax()])
    epsilon = 0.3 / 3**0.5
    alpha = epsilon * (anchor - z).norm() * gradient / gradient.norm() / (anchor - z)
    torch.testing.assert_close(seen[-1][0], alpha * anchor + (1 - alpha) * z)
    assert (seen[-1][0] - z).norm() == pytest.approx(float(epsilon * (anchor - z).norm()))


def test_without_a_gradient_or_a_distance_nothing_changes() -> None:
    sure = torch.tensor([[200.0, 0.0]])
    assert mixing_changes(lambda f: torch.nn.functional.pad(0 * f[:, :1], (0, 1)), sure, -sure).sum() == 0
    assert mixing_changes(identity, sure, sure).sum() == 0


def test_logistic_regression_supplies_it_whatever_the_batch() -> None:
    """One feature decides; an image near the boundary changes at once, one far from it never."""
    features = torch.tensor([-4.0, -1.5, -0.05, 0.05, 1.5, 4.0]).reshape(6, 1, 1, 1)
    pool = ImageSet.of(features)
    classes = np.array([0, 0, 0, 1, 1, 1])
    known = LabelledSet(pool.subset(np.array([0, 1, 4, 5])), classes[[0, 1, 4, 5]], 2)
    for batch in (2, 6):
        learner = make_learner(
            LinearSettings.model_validate({"prediction": {"batch": batch}}), pool, 2, STREAM
        )
        with pytest.raises(ValueError, match="no labelled images"):
            learner.predict(pool, {Need.MIXING_CHANGES}, STREAM)
        learner.set_labels(known)
        learner.start_round(0, known, pool.subset(np.array([2, 3])), STREAM)
        learner.step(0)
        found = learner.predict(pool, {Need.MIXING_CHANGES}, STREAM).get(Need.MIXING_CHANGES)
        # The anchors are −2.75 and 2.75: a step of m times the distance along the one feature.
        assert found.tolist() == [
            [0, 0, 1, 1, 1],
            [0, 1, 1, 1, 1],
            [2, 2, 2, 2, 2],
            [2, 2, 2, 2, 2],
            [0, 1, 1, 1, 1],
            [0, 0, 1, 1, 1],
        ]


def test_networks_supply_it_and_their_weights_keep_no_gradient() -> None:
    pool = ImageSet.of(torch.from_numpy(np.random.default_rng(0).normal(size=(30, 6, 1, 1))).float())
    settings = tiny_settings("supervised", networks={"scale": "features", "discriminator_sizes": (8,)})
    learner = make_learner(settings, pool, 3, STREAM)
    learner.set_labels(LabelledSet(pool.subset(np.arange(6)), np.arange(6) % 3, 3))
    before = learner.state_dict()
    found = learner.predict(pool, {Need.MIXING_CHANGES, Need.PROBABILITIES}, STREAM)
    changes = found.get(Need.MIXING_CHANGES)
    assert changes.shape == (30, 5) and 0 < changes.double().mean() < 3
    margins = found.get(Need.PROBABILITIES).topk(2).values
    near = (margins[:, 0] - margins[:, 1]).argsort()
    assert changes[near[:10]].sum() > changes[near[-10:]].sum()
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert all(weight.grad is None for weight in learner.nets.discriminator.parameters())
