"""FixMatch (Sohn et al. 2020): consistency between weakly and strongly augmented unlabelled images.

The confident prediction on a weakly augmented image is the target of the strongly augmented one. Siméoni et al.
(2021) train on the unlabelled pool in this way under active learning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from aral.data.augmentation import Augmentation
from aral.learners.engine import Batch, Engine, Method, Phase, Term
from aral.learners.interface import Task
from aral.learners.nets import Nets, eval_probabilities
from aral.learners.pseudo_label import PseudoLabelWeights
from aral.learners.settings import LearnerSettings, Net, SemiSupervisedTraining
from aral.losses.classification import cross_entropy
from aral.losses.pseudo_labels import aligned, confident, cross_entropy_where, hardened
from aral.settings import Settings

WEAK = Augmentation(shift=0.1)
STRONG = Augmentation(shift=0.1, scale=0.2, rotation=20, shear=10, cut_out=0.4)


class PseudoLabelling(Settings):
    """How unlabelled images are given a pseudo-label, and how far images are augmented."""

    confidence: float = Field(0.95, ge=0, le=1)  # τ: a pseudo-label is used from this highest probability up
    align: bool = False  # distribution alignment to the labels' class shares (ReMixMatch)
    teacher: Literal["student", "ema"] = "student"  # predicts the pseudo-labels; ema: with its own batch norm
    weak: Augmentation = WEAK  # of labelled images, and of those that are given a pseudo-label
    strong: Augmentation = STRONG


class FixMatchSettings(LearnerSettings):
    """Settings of FixMatch."""

    name: Literal["fixmatch"] = "fixmatch"
    training: SemiSupervisedTraining = SemiSupervisedTraining()
    weights: PseudoLabelWeights = PseudoLabelWeights()
    pseudo_labels: PseudoLabelling = PseudoLabelling()

    @property
    def nets(self) -> frozenset[Net]:
        """D̃ with C."""
        return frozenset({Net.DISCRIMINATOR})

    @property
    def labelled_augmentation(self) -> Augmentation:
        """Labelled images are weakly augmented."""
        return self.pseudo_labels.weak

    def build(self, task: Task) -> Engine:
        """A new FixMatch learner."""
        return Engine(FixMatch(self), self, task)


class FixMatch(Method):
    """Weakly augmented labelled images, strongly augmented unlabelled ones."""

    def __init__(self, settings: FixMatchSettings) -> None:
        self.settings = settings

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """Cross-entropy on both; to C."""
        s, w, disc = self.settings.pseudo_labels, self.settings.weights, nets.discriminator
        weak_l = batch.augmented(batch.labelled, s.weak, "weak labelled")
        strong_u = batch.augmented(batch.unlabelled, s.strong, "strong")
        h_l, h_u = torch.split(disc.features(torch.cat([weak_l, strong_u])), [len(weak_l), len(strong_u)])

        def consistency() -> Tensor:
            y_u = pseudo_labels(nets, batch, s)
            return cross_entropy_where(disc.classify(h_u), hardened(y_u), confident(y_u, s.confidence))

        y_l = batch.labelled.class_probs
        consistency_weight = w.cls * w.pseudo_labels * w.pseudo_labels_ramp.at(batch.age)
        yield Phase(
            "C",
            frozenset({Net.DISCRIMINATOR}),
            (
                Term("classify labelled", w.cls, lambda: cross_entropy(disc.classify(h_l), y_l)),
                Term("consistency", consistency_weight, consistency),
            ),
        )


def predict_with_teacher(
    nets: Nets, batch: Batch, settings: PseudoLabelling, images: Float[Tensor, "U C H W"]
) -> Float[Tensor, "U K"]:
    """softmax(C(x)) of the teacher, without gradient: C itself in eval mode, or its moving average.

    Raises:
        ValueError: the teacher is an average and there is none.
    """
    if settings.teacher == "student":
        return eval_probabilities(nets.discriminator, images)
    if batch.teach is None:
        raise ValueError("the teacher 'ema' needs training.average_decay above 0")
    return batch.teach(images)


def pseudo_labels(nets: Nets, batch: Batch, settings: PseudoLabelling) -> Float[Tensor, "U K"]:
    """The teacher's prediction on weakly augmented x_U, aligned to the labels' class shares if that is set."""
    weak = batch.augmented(batch.unlabelled, settings.weak, "weak unlabelled")
    found = predict_with_teacher(nets, batch, settings, weak)
    if not settings.align:
        return found
    return aligned(found, torch.from_numpy(batch.class_shares).to(found))
