"""VAAL (Sinha et al. 2019): an unconditional VAE and a sampler that only choose images; a supervised classifier.

Eq. 1 to 4 of Mottaghi and Yeung (2019). The two halves share nothing but the labelled images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field

from aral.learners.aral import (
    Codes,
    SamplerSees,
    VaeWeights,
    encode,
    encoder_generator_phase,
    sampler_phase,
    vae_terms,
)
from aral.learners.engine import Batch, Engine, Method, Phase
from aral.learners.interface import Task
from aral.learners.nets import Nets
from aral.learners.settings import (
    AdversarialOptimisers,
    GenerativePrediction,
    LearnerSettings,
    Net,
    SemiSupervisedTraining,
)
from aral.learners.supervised import classifier_phase


class VaalWeights(VaeWeights):
    """Weights of eq. 3, and of the classifier's loss."""

    cls: float = Field(1.0, gt=0)  # λ_cls


class VaalSettings(LearnerSettings):
    """Settings of VAAL."""

    name: Literal["vaal"] = "vaal"
    optimisers: AdversarialOptimisers = AdversarialOptimisers()
    training: SemiSupervisedTraining = SemiSupervisedTraining()
    prediction: GenerativePrediction = GenerativePrediction()
    weights: VaalWeights = VaalWeights()
    sampler_sees: SamplerSees = "mean"  # of q(z|x), for both sets alike

    @property
    def nets(self) -> frozenset[Net]:
        """E, its decoder G, S, and the classifier."""
        return frozenset({Net.ENCODER, Net.GENERATOR, Net.DISCRIMINATOR, Net.SAMPLER})

    def build(self, task: Task) -> Engine:
        """A new VAAL learner."""
        return Engine(Vaal(self), self, task)


class Vaal(Method):
    """The classifier, eq. 4 for the sampler, and eq. 3 for the autoencoder."""

    conditional = False

    def __init__(self, settings: VaalSettings) -> None:
        self.settings = settings

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """C, then S, then E and G."""
        s = self.settings
        yield classifier_phase(nets, batch, s.weights.cls)
        codes = encode_unconditionally(nets, batch)
        yield sampler_phase(nets, codes, s.sampler_sees)
        terms = vae_terms(nets, codes, s.weights, s.networks.pixel_range, s.sampler_sees)
        yield encoder_generator_phase(nets, terms)


def encode_unconditionally(nets: Nets, batch: Batch) -> Codes:
    """q(z|x) of the labelled, then the unlabelled images."""
    x = torch.cat([batch.labelled.images, batch.unlabelled.images])
    return encode(nets, batch, x, x.new_zeros(len(x), 0), len(batch.labelled.images))
