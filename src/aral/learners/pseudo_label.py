"""Pseudo-labels (Lee 2013): unlabelled images with a certain prediction are trained on with their likeliest class.

In active learning: CEAL (Wang et al. 2017), which uses images whose prediction has an entropy below a threshold.
CEAL fixes these labels once a round; here they are made anew in every step, so that training is a function of
weights and data alone and can resume anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field

from aral.learners.division import Divisible
from aral.learners.engine import Batch, Engine, Method, Phase, Term
from aral.learners.interface import Task
from aral.learners.nets import Nets, eval_probabilities
from aral.learners.settings import LearnerSettings, Net, Ramp, SemiSupervisedTraining
from aral.losses.classification import cross_entropy
from aral.losses.pseudo_labels import certain, cross_entropy_where, hardened
from aral.settings import Settings


class PseudoLabelWeights(Settings):
    """Weights of labelled and pseudo-labelled images."""

    cls: float = 1.0  # λ_cls: cross-entropy
    pseudo_labels: float = 1.0  # relative to labelled images
    pseudo_labels_ramp: Ramp = Ramp()


class PseudoLabelSettings(LearnerSettings):
    """Settings of pseudo-labels."""

    name: Literal["pseudo-label"] = "pseudo-label"
    training: SemiSupervisedTraining = SemiSupervisedTraining()
    weights: PseudoLabelWeights = PseudoLabelWeights()
    entropy: float = Field(0.05, gt=0)  # a pseudo-label is used below this entropy, nats (CEAL)
    # A pseudo-label is used only where logistic regression on the labels predicts the same class; for features. A
    # network that is certain too early would otherwise train on its own errors, the more the fewer labels there are.
    agreement: bool = False

    @property
    def nets(self) -> frozenset[Net]:
        """D̃ with C."""
        return frozenset({Net.DISCRIMINATOR})

    def build(self, task: Task) -> Engine:
        """A new pseudo-label learner."""
        return Engine(PseudoLabel(self), self, task)


class PseudoLabel(Method):
    """Labels, and pseudo-labels of certain predictions."""

    def __init__(self, settings: PseudoLabelSettings) -> None:
        self.settings = settings

    def division(self) -> Divisible:
        """Means over images, whether their pseudo-labels are used or not."""
        return Divisible()

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """Cross-entropy on labelled and on certain unlabelled images; to C."""
        w, disc = self.settings.weights, nets.discriminator
        x_l, y_l, x_u = batch.labelled.images, batch.labelled.class_probs, batch.unlabelled.images
        h_l, h_u = torch.split(disc.features(torch.cat([x_l, x_u])), [len(x_l), len(x_u)])

        def pseudo_labelled() -> torch.Tensor:
            y_u = eval_probabilities(disc, x_u)
            used = certain(y_u, self.settings.entropy)
            if self.settings.agreement:
                used = used & (batch.linear_classes(x_u) == y_u.argmax(dim=1))
            return cross_entropy_where(disc.classify(h_u), hardened(y_u), used)

        pseudo_weight = w.cls * w.pseudo_labels * w.pseudo_labels_ramp.at(batch.age)
        yield Phase(
            "C",
            frozenset({Net.DISCRIMINATOR}),
            (
                Term("classify labelled", w.cls, lambda: cross_entropy(disc.classify(h_l), y_l)),
                Term("classify pseudo-labelled", pseudo_weight, pseudo_labelled),
            ),
        )
