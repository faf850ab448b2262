"""The plain classifier: the same trunk D̃ and head C as ARAL's, trained on labelled images only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from aral.learners.division import Divisible
from aral.learners.engine import Batch, Engine, Method, Phase, Term
from aral.learners.interface import Task
from aral.learners.nets import Nets
from aral.learners.settings import LearnerSettings, Net
from aral.losses.classification import cross_entropy


class SupervisedSettings(LearnerSettings):
    """Settings of supervised training."""

    name: Literal["supervised"] = "supervised"
    weight: float = Field(1.0, gt=0)  # λ_cls: of the cross-entropy

    @property
    def nets(self) -> frozenset[Net]:
        """D̃ with C."""
        return frozenset({Net.DISCRIMINATOR})

    def build(self, task: Task) -> Engine:
        """A new supervised learner."""
        return Engine(Supervised(self.weight), self, task)


class Supervised(Method):
    """First term of eq. 9 alone."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def division(self) -> Divisible:
        """A mean over images."""
        return Divisible()

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """Cross-entropy on labelled images; to C."""
        yield classifier_phase(nets, batch, self.weight)


def classifier_phase(nets: Nets, batch: Batch, weight: float) -> Phase:
    """First term of eq. 9: C on labelled images."""
    disc, x_l, y_l = nets.discriminator, batch.labelled.images, batch.labelled.class_probs
    loss = Term("classify labelled", weight, lambda: cross_entropy(disc.classify(disc.features(x_l)), y_l))
    return Phase("C", frozenset({Net.DISCRIMINATOR}), (loss,))
