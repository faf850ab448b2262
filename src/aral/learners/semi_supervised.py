"""Classifiers that label unlabelled images themselves, as they train: no encoder, no generator.

*Pseudo-label*: an image whose prediction has an entropy below a threshold enters the cross-entropy with its
likeliest class (Lee 2013; CEAL, Wang et al. 2017). CEAL fixes these labels once a round; here they are made
anew in every step, so that training is a function of weights and data alone and can resume anywhere.

*Consistency*: Siméoni et al. (2021) train on the unlabelled pool under active learning; here in the form of
FixMatch (Sohn et al. 2020): the label of a weakly augmented image, where it is confident, is demanded of the
strongly augmented one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aral.learners import terms
from aral.learners.blueprint import Blueprint
from aral.learners.phased import PhasedLearner
from aral.learners.spec import Model, Net
from aral.learners.step import Part
from aral.learners.terms import Compute, Phase, Term
from aral.learners.view import View
from aral.losses import pseudo_labels
from aral.networks.interface import ImageShape
from aral.randomness import Stream

C = frozenset({Net.DISCRIMINATOR})


def trust_certain(entropy: float) -> Compute:
    """Cross-entropy on unlabelled images and their likeliest class, below ``entropy`` nats; to C."""

    def compute(view: View) -> Float[Tensor, ""]:
        labels = view.class_probs_of(Part.UNLABELLED)
        logits = view.judge.classify(view.features[Part.UNLABELLED])
        used = pseudo_labels.certain(labels, entropy)
        return pseudo_labels.cross_entropy_where(logits, pseudo_labels.hardened(labels), used)

    return compute


def own_opinion(view: View, align: bool) -> Float[Tensor, "U K"]:
    """What C says of the weakly augmented x_U, brought nearer to the labels' shares of the classes if ``align``."""
    found = view.class_probs_of(Part.STRONG_UNLABELLED)
    return pseudo_labels.aligned(found, view.step.class_shares) if align else found


def agree(confidence: float, align: bool) -> Compute:
    """Cross-entropy of strongly augmented images on the confident labels of the weakly augmented; to C."""

    def compute(view: View) -> Float[Tensor, ""]:
        labels = own_opinion(view, align)
        logits = view.judge.classify(view.features[Part.STRONG_UNLABELLED])
        used = pseudo_labels.confident(labels, confidence)
        return pseudo_labels.cross_entropy_where(logits, pseudo_labels.hardened(labels), used)

    return compute


def pseudo_label_phases(model: Model) -> tuple[Phase, ...]:
    """One phase: a person's labels and the classifier's own."""
    w = model.weights
    own = trust_certain(model.self_training.entropy)
    found = (
        Term("classify labelled", terms.classify_labelled, w.cls),
        Term("trust certain", own, w.cls * w.self_training, w.self_training_ramp),
    )
    return (Phase("C", C, found, frozenset({Part.LABELLED, Part.UNLABELLED})),)


def consistency_phases(model: Model) -> tuple[Phase, ...]:
    """One phase: weakly augmented labelled images, strongly augmented unlabelled ones."""
    w, settings = model.weights, model.self_training
    found = (
        Term("classify weakly augmented", terms.classify(Part.WEAK_LABELLED), w.cls),
        Term(
            "agree",
            agree(settings.confidence, settings.align),
            w.cls * w.self_training,
            w.self_training_ramp,
        ),
    )
    return (Phase("C", C, found, frozenset({Part.WEAK_LABELLED, Part.STRONG_UNLABELLED})),)


def pseudo_label(
    model: Model, image_shape: ImageShape, class_count: int, stream: Stream, device: torch.device
) -> PhasedLearner:
    """A new pseudo-label learner; arguments as for :func:`aral.learners.aral.aral`."""
    blueprint = Blueprint(model, image_shape, class_count, C, conditional=False, device=device)
    return PhasedLearner("pseudo-label", blueprint, pseudo_label_phases(model), stream)


def consistency(
    model: Model, image_shape: ImageShape, class_count: int, stream: Stream, device: torch.device
) -> PhasedLearner:
    """A new consistency learner; arguments as for :func:`aral.learners.aral.aral`."""
    blueprint = Blueprint(model, image_shape, class_count, C, conditional=False, device=device)
    return PhasedLearner("consistency", blueprint, consistency_phases(model), stream)
