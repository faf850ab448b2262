"""VAAL (Sinha et al. 2019): an unconditional VAE and sampler that only choose; a supervised classifier.

Eq. 1 to 4. The two halves share nothing but the labelled images.
"""

from __future__ import annotations

import torch

from aral.learners import terms
from aral.learners.blueprint import Blueprint
from aral.learners.phased import PhasedLearner
from aral.learners.spec import Model, Net
from aral.learners.supervised import classifier_phase
from aral.learners.terms import Phase
from aral.networks.interface import ImageShape
from aral.randomness import Stream

VAAL_NETS = frozenset({Net.ENCODER, Net.GENERATOR, Net.DISCRIMINATOR, Net.SAMPLER})


def vaal_phases(model: Model) -> tuple[Phase, ...]:
    """The classifier, eq. 4 for the sampler, and eq. 3 for the autoencoder."""
    autoencoder = frozenset({Net.ENCODER, Net.GENERATOR})
    return (
        classifier_phase(model),
        terms.sampler_phase(model),
        Phase("E+G", autoencoder, terms.variational_terms(model)),
    )


def vaal(
    model: Model, image_shape: ImageShape, class_count: int, stream: Stream, device: torch.device
) -> PhasedLearner:
    """A new VAAL learner; arguments as for :func:`aral.learners.aral.aral`."""
    blueprint = Blueprint(model, image_shape, class_count, VAAL_NETS, conditional=False, device=device)
    return PhasedLearner("vaal", blueprint, vaal_phases(model), stream)
