"""C on images that are mixed in pairs, with mixed classes: every unlabelled image counts, however unsure C is.

MixMatch (Berthelot et al. 2019) with what ReMixMatch (2020) changed: the label comes from a weakly augmented image,
the strongly augmented one is asked for it, by cross-entropy. Where a threshold picks the images C is sure of, a C
that knows its few labels by heart is soon sure of far too many; what lies between two images cannot be known by
heart.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aral.learners.semi_supervised import own_opinion
from aral.learners.spec import Model, SelfTraining, Spreading
from aral.learners.step import Part
from aral.learners.terms import Compute, Term
from aral.learners.view import View
from aral.losses import pseudo_labels
from aral.losses.classification import cross_entropy


def soft_labels(view: View, settings: SelfTraining, spreading: Spreading) -> Float[Tensor, "U K"]:
    """The graph's label of x_U where it is sure, else C's own, aligned if that is set and sharpened; no gradient.

    A row of zeros is an image that the graph takes for none of the classes: it says nothing, whomever it is mixed
    with.
    """
    own = pseudo_labels.sharpened(own_opinion(view, settings.align), settings.temperature)
    if not spreading.weight:
        return own
    graph, margin = view.step.propagate_labels, spreading.margin
    sure = pseudo_labels.confident_by_margin(graph, margin)[:, None]
    known = ~pseudo_labels.out_of_distribution(graph, margin)[:, None]
    return torch.where(sure, pseudo_labels.hardened(graph), own) * known


def classify_mixed(mostly_labelled: bool, settings: SelfTraining, spreading: Spreading) -> Compute:
    """−Σ_k y_k log softmax(C)_k of one half of the mixed images, mean, nats; to D̃ and C.

    Args:
        mostly_labelled: those that are mostly a labelled image, or those that are mostly an unlabelled one.
        settings: how C's own labels are made.
        spreading: when the graph is sure; a weight of 0 leaves it out, any other lets it speak.
    """

    def compute(view: View) -> Float[Tensor, ""]:
        labelled = view.step.labelled.class_probs
        classes = view.step.mixture(torch.cat([labelled, soft_labels(view, settings, spreading)]))
        logits = view.judge.classify(view.features[Part.MIXED])
        half = slice(len(labelled)) if mostly_labelled else slice(len(labelled), None)
        return cross_entropy(logits[half], classes[half])

    return compute


def mixed_terms(model: Model) -> tuple[Term, ...]:
    """What stands in for labelled and self-labelled terms where images are mixed."""
    w, settings, spreading = model.weights, model.self_training, model.spreading

    return (
        Term("classify mixed labelled", classify_mixed(True, settings, spreading), w.cls),
        Term(
            "classify mixed unlabelled",
            classify_mixed(False, settings, spreading),
            w.cls * w.self_training,
            w.self_training_ramp,
        ),
    )
