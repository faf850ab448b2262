"""BGADL, Bayesian generative active deep learning (Tran, Do, Reid and Carneiro 2019): a VAE-ACGAN.

Each labelled image x is passed through E and G to a new one, x' = G(E(x, y), y), which keeps the label y; the
classifier is trained on both. D tells x from x', G and E want x' to look real and to be classified as y.
Unlabelled images take no part in training. Queries are BALD's.
"""

from __future__ import annotations

import torch

from aral.learners import terms
from aral.learners.blueprint import Blueprint
from aral.learners.gan_terms import fool_pairs, parts_judged, tell_pairs
from aral.learners.phased import PhasedLearner
from aral.learners.spec import Model, Net
from aral.learners.step import Part
from aral.learners.terms import Phase, Term
from aral.networks.interface import ImageShape
from aral.randomness import Stream


def bgadl_phases(model: Model) -> tuple[Phase, ...]:
    """D with C, then E and G, all on labelled images and their reconstructions."""
    w, made = model.weights, Part.RECONSTRUCTED
    classify_made = terms.classify(made)
    of_discriminator = (
        Term("tell real pairs", tell_pairs("logistic", made, 1.0), w.gan),
        Term("classify labelled", terms.classify_labelled, w.cls),
        Term("classify reconstructed", classify_made, w.cls * w.generated, w.generated_ramp),
    )
    of_makers = (
        Term("reconstruction", terms.reconstruct(model.networks.pixel_range), w.trd),
        Term("divergence", terms.diverge, w.trd * w.beta),
        Term("fool discriminator", fool_pairs("logistic", made), w.gan),
        Term("keep class", classify_made, w.cls),
    )
    return (
        Phase("D", frozenset({Net.DISCRIMINATOR}), of_discriminator, parts_judged(1.0, made)),
        Phase("E+G", frozenset({Net.ENCODER, Net.GENERATOR}), of_makers, frozenset({made})),
    )


def bgadl(
    model: Model, image_shape: ImageShape, class_count: int, stream: Stream, device: torch.device
) -> PhasedLearner:
    """A new BGADL learner; arguments as for :func:`aral.learners.aral.aral`."""
    blueprint = Blueprint(
        model,
        image_shape,
        class_count,
        frozenset({Net.DISCRIMINATOR, Net.ENCODER, Net.GENERATOR}),
        conditional=True,
        device=device,
        encoded=frozenset({Part.LABELLED}),
    )
    return PhasedLearner("bgadl", blueprint, bgadl_phases(model), stream)
