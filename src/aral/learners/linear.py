"""Multinomial logistic regression on features (or flattened pixels), with a calibrated temperature.

The baseline of a pretrained representation, and the quickest learner: a fraction of a second for some hundred labels.
The solution is exact, so there is one training step a round.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

import torch
from pydantic import Field
from torch import nn

from aral.data.batches import gather
from aral.learners.engine import Batch, Engine, Method, Phase
from aral.learners.interface import StepLosses, Task
from aral.learners.nets import Nets
from aral.learners.settings import LearnerSettings, Net, Training
from aral.logistic import calibrated_temperature, cross_entropy_of, fit_logistic
from aral.networks import FeatureFamily
from aral.networks.parts import TrunkDiscriminator
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet


class LinearSettings(LearnerSettings):
    """Settings of logistic regression."""

    name: Literal["linear"] = "linear"
    inverse_penalty: float = Field(1.0, gt=0)  # C of scikit-learn: 1 / (2 · weight of the squared norm)
    calibrated: bool = True  # logits are divided by a temperature chosen by cross-validation on the labels

    @property
    def nets(self) -> frozenset[Net]:
        """C on the features themselves."""
        return frozenset({Net.DISCRIMINATOR})

    @property
    def unused(self) -> frozenset[str]:
        """Everything that concerns networks and gradient steps."""
        return frozenset({"networks", "classifier", "training", "optimisers", "latent_size"})

    def as_built(self) -> LearnerSettings:
        """C reads the features themselves, and there is one step."""
        ours = {
            "networks": FeatureFamily(discriminator_sizes=(), input_noise=0.0),
            "classifier": None,
            "training": Training(steps=1, average_decay=0.0),
        }
        return self.model_copy(update=ours)

    def build(self, task: Task) -> Engine:
        """A new logistic regression."""
        return Linear(self, task)


class Linear(Engine):
    """Logistic regression in the place of C; D̃ is the identity."""

    def __init__(self, settings: LinearSettings, task: Task) -> None:
        super().__init__(_NoPhases(settings), settings.as_built(), task)
        self._penalty, self._calibrated = settings.inverse_penalty, settings.calibrated
        self._labelled: LabelledSet | None = None

    def start_round(
        self, round_number: int, labelled: LabelledSet, unlabelled: ImageSet, stream: Stream
    ) -> None:
        """Take the round's labels; the regression always starts anew."""
        super().start_round(round_number, labelled, unlabelled, stream)
        self._labelled = labelled

    def step(self, index: int) -> StepLosses:
        """Fit; reports the mean cross-entropy of the labels, nats, and the temperature."""
        labelled = self._labelled
        if labelled is None:
            raise ValueError("start_round comes first")
        features = gather(labelled.images, labelled.ids, symmetric=False).flatten(1).double().numpy()
        weights, bias = fit_logistic(features, labelled.classes, labelled.class_count, self._penalty)
        temperature = 1.0
        if self._calibrated:
            temperature = calibrated_temperature(
                features, labelled.classes, labelled.class_count, self._penalty
            )
        head = cast(nn.Linear, cast(TrunkDiscriminator, self.nets.discriminator).class_layer)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weights / temperature))
            head.bias.copy_(torch.from_numpy(bias / temperature))
        loss = cross_entropy_of((features @ weights.T + bias) / temperature, labelled.classes)
        return StepLosses({"classify labelled": loss, "temperature": temperature})


class _NoPhases(Method):
    """The engine makes no gradient step."""

    def __init__(self, settings: LinearSettings) -> None:
        self.settings = settings

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """None."""
        return iter(())
