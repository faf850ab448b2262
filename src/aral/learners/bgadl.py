"""BGADL, Bayesian generative active deep learning (Tran, Do, Reid and Carneiro 2019): a VAE-ACGAN.

Each labelled image x is passed through E and G to a new one, x' = G(E(x, y), y), which keeps the label y; the
classifier is trained on both. D tells x from x'; E and G make x' look real and be classified as y. Unlabelled images
take no part in training. Queries are BALD's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch

from aral.learners.aral import VaeWeights, encode, vae_terms
from aral.learners.division import Divisible
from aral.learners.engine import Batch, Engine, Method, Phase, Term
from aral.learners.interface import Task
from aral.learners.nets import Nets
from aral.learners.settings import (
    AdversarialOptimisers,
    GenerativePrediction,
    LearnerSettings,
    Net,
    Ramp,
)
from aral.losses import adversarial
from aral.losses.classification import cross_entropy
from aral.settings import Settings


class BgadlWeights(Settings):
    """Weights of BGADL's terms."""

    trd: float = 0.001  # reconstruction and divergence
    beta: float = 1.0  # divergence relative to reconstruction
    gan: float = 1.0  # real against reconstructed
    cls: float = 1.0  # cross-entropy
    generated: float = 1.0  # cross-entropy of reconstructed images, relative to real ones
    generated_ramp: Ramp = Ramp()


class BgadlSettings(LearnerSettings):
    """Settings of BGADL."""

    name: Literal["bgadl"] = "bgadl"
    optimisers: AdversarialOptimisers = AdversarialOptimisers()
    prediction: GenerativePrediction = GenerativePrediction()
    weights: BgadlWeights = BgadlWeights()

    @property
    def nets(self) -> frozenset[Net]:
        """D with C, E and G."""
        return frozenset({Net.DISCRIMINATOR, Net.ENCODER, Net.GENERATOR})

    def build(self, task: Task) -> Engine:
        """A new BGADL learner."""
        return Engine(Bgadl(self), self, task)


class Bgadl(Method):
    """D with C, then E and G, on labelled images and their reconstructions."""

    def __init__(self, settings: BgadlSettings) -> None:
        self.settings = settings

    def division(self) -> Divisible:
        """Means over images."""
        return Divisible()

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """D and C, then E and G; x' is made once and shared."""
        s, w, disc = self.settings, self.settings.weights, nets.discriminator
        x, y = batch.labelled.images, batch.labelled.class_probs
        no_code = x.new_zeros(len(x), nets.latent_size)  # D judges (x, y)
        codes = encode(nets, batch, x, y, len(x))
        x_new = nets.decode(codes.sample, y)

        h, h_new = torch.split(disc.features(torch.cat([x, x_new.detach()])), [len(x), len(x)])
        yield Phase(
            "D",
            frozenset({Net.DISCRIMINATOR}),
            (
                Term(
                    "tell real from reconstructed",
                    w.gan,
                    lambda: adversarial.discriminator_loss(
                        disc.realness(h, no_code, y), h.new_zeros(0), disc.realness(h_new, no_code, y), 1.0
                    ),
                ),
                Term("classify labelled", w.cls, lambda: cross_entropy(disc.classify(h), y)),
                Term(
                    "classify reconstructed",
                    w.cls * w.generated * w.generated_ramp.at(batch.age),
                    lambda: cross_entropy(disc.classify(h_new), y),
                ),
            ),
        )

        # E and G; D is frozen, its features of x' carry the gradient of E and G.
        # D̃ reads a copy: its gradient with respect to x' is summed before that of the reconstruction is added.
        h_made = disc.features(x_new.clone())
        vae = VaeWeights(trd=w.trd, beta=w.beta)
        yield Phase(
            "E+G",
            frozenset({Net.ENCODER, Net.GENERATOR}),
            (
                *vae_terms(nets, codes, vae, s.networks.pixel_range, "mean", reconstructions=x_new),
                Term(
                    "reconstruct against D",
                    w.gan,
                    lambda: adversarial.generator_loss(disc.realness(h_made, no_code, y)),
                ),
                Term("keep class", w.cls, lambda: cross_entropy(disc.classify(h_made), y)),
            ),
        )
