"""The plain classifier: the same trunk D̃ and head C, trained on labelled images only."""

from __future__ import annotations

import torch

from aral.learners import terms
from aral.learners.blueprint import Blueprint
from aral.learners.phased import PhasedLearner
from aral.learners.spec import Model, Net
from aral.learners.step import Part
from aral.learners.terms import Phase, Term
from aral.networks.interface import ImageShape
from aral.randomness import Stream


def classifier_phase(model: Model) -> Phase:
    """First term of eq. 9 alone."""
    term = Term("classify labelled", terms.classify_labelled, model.weights.cls)
    return Phase("C", frozenset({Net.DISCRIMINATOR}), (term,), frozenset({Part.LABELLED}))


def supervised(
    model: Model, image_shape: ImageShape, class_count: int, stream: Stream, device: torch.device
) -> PhasedLearner:
    """A new supervised learner; arguments as for :func:`aral.learners.aral.aral`."""
    nets = frozenset({Net.DISCRIMINATOR})
    blueprint = Blueprint(model, image_shape, class_count, nets, conditional=False, device=device)
    return PhasedLearner("supervised", blueprint, (classifier_phase(model),), stream)
