"""ARAL: E, G, D and S co-trained on labelled, unlabelled and generated images (section 3.3, Algorithm 1).

The whole method is the list of phases below. A step runs D, then S, then E and G; Algorithm 1 starts the same
circle at E and G. An ablation leaves terms or phases out.
"""

from __future__ import annotations

import torch

from aral.learners import terms
from aral.learners.blueprint import Blueprint
from aral.learners.phased import PhasedLearner
from aral.learners.spec import Model, Net, Objective
from aral.learners.step import Part
from aral.learners.terms import Phase, Term
from aral.networks.interface import ImageShape
from aral.randomness import Stream

D, E, G, S = Net.DISCRIMINATOR, Net.ENCODER, Net.GENERATOR, Net.SAMPLER
ARAL_NETS = frozenset({E, G, D, S})
ALL_IMAGES = frozenset({Part.LABELLED, Part.UNLABELLED, Part.GENERATED})


def aral_phases(model: Model, objective: Objective) -> tuple[Phase, ...]:
    """Eq. 11 to 13 for one of the two objectives."""
    w = model.weights
    acquisition = terms.variational_terms(model)  # eq. 5
    matching = Term("feature matching", terms.match_features(model.matching_norm), w.feature_matching)
    labelled = Term("classify labelled", terms.classify_labelled, w.cls)  # eq. 9
    generated = Term("classify generated", terms.classify_generated, w.cls * w.generated, w.generated_ramp)
    sampler = terms.sampler_phase(model)  # eq. 13
    if objective is Objective.PAPER:
        tell_real = Term("tell real", terms.tell_real(w.labelled_share), w.gan)  # eq. 8
        fool = Term("fool discriminator", terms.fool, w.gan)  # eq. 7
        oppose = Term("oppose discriminator", terms.oppose(w.labelled_share), w.gan)  # eq. 10
        return (
            Phase("D", frozenset({D}), (tell_real, labelled, generated), ALL_IMAGES),  # eq. 12
            sampler,
            Phase("E+G", frozenset({E, G}), (*acquisition, oppose, fool, matching), ALL_IMAGES),  # eq. 11
        )
    tell_real = Term("tell real", terms.tell_real_by_class_logits, w.gan)
    return (
        Phase("D", frozenset({D}), (tell_real, labelled), ALL_IMAGES),
        sampler,
        Phase("E+G", frozenset({E, G}), (*acquisition, matching), ALL_IMAGES - {Part.LABELLED}),
    )


def aral(
    model: Model,
    objective: Objective,
    image_shape: ImageShape,
    class_count: int,
    stream: Stream,
    device: torch.device,
) -> PhasedLearner:
    """A new ARAL learner.

    Args:
        model: networks and settings of training.
        objective: ``paper`` for eq. 7 to 10, ``released`` for what the authors' code trains.
        image_shape: channels, height and width.
        class_count: K.
        stream: decides the initial weights.
        device: where to compute.
    """
    blueprint = Blueprint(model, image_shape, class_count, ARAL_NETS, conditional=True, device=device)
    return PhasedLearner(f"aral-{objective}", blueprint, aral_phases(model, objective), stream)
