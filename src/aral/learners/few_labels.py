"""ARAL for a handful of labels: one representation, begun without labels, that classifies, generates and chooses.

The trunk D̃ is trained before the first query: an image and its neighbours fall into the same group, under any
augmentation (SCAN; Van Gansbeke et al. 2020), so that ten typical images show ten classes. With labels, C is
trained on them, on its own confident answers (FixMatch; Sohn et al. 2020) and on labels that spread along the
graph of neighbours (Zhou et al. 2004), or on mixtures of all (:mod:`aral.learners.mixed`), on the same trunk,
beside the groups if ``model.partitioning.in_rounds`` is above 0. Around it, as in the paper: G learns to match
the trunk's features, E to encode, S to tell labelled from unlabelled codes, whose answer chooses the next images.
Each part is a term or a phase, and a weight of 0 leaves it out.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from aral.learners import terms
from aral.learners.blueprint import Blueprint
from aral.learners.mixed import mixed_terms
from aral.learners.phased import PhasedLearner
from aral.learners.semi_supervised import agree, own_opinion
from aral.learners.spec import Model, Net, Ramp, SelfTraining, Spreading
from aral.learners.step import Part
from aral.learners.terms import Compute, Phase, Term
from aral.learners.view import View
from aral.losses import clustering, contrast, pseudo_labels
from aral.networks.interface import ImageShape
from aral.randomness import Stream

D, E, G, S, P = Net.DISCRIMINATOR, Net.ENCODER, Net.GENERATOR, Net.SAMPLER, Net.PARTITION
PAIR = (Part.STRONG_UNLABELLED, Part.STRONG_NEIGHBOUR)
"""Two pictures of what is probably one thing."""


def keep_together(to_trunk: bool) -> Compute:
    """Neighbours fall into the same group, mean over the heads of P, nats; to P, and to D̃ if ``to_trunk``."""
    return lambda view: torch.stack(
        [clustering.disagreement(*pair) for pair in _pairs(view, to_trunk)]
    ).mean()


def use_all_groups(to_trunk: bool) -> Compute:
    """The groups share the batch, mean over the heads of P, nats; to P, and to D̃ if ``to_trunk``."""
    return lambda view: torch.stack(
        [clustering.imbalance(torch.cat(pair)) for pair in _pairs(view, to_trunk)]
    ).mean()


def _pairs(view: View, to_trunk: bool) -> list[tuple[Tensor, Tensor]]:
    """Logits of the two pictures in every head but the last, which belongs to the communities."""
    one, other = (view.group_logits(part, to_trunk)[:-1] for part in PAIR)
    return list(zip(one, other, strict=True))


def imitate_communities(view: View) -> Float[Tensor, ""]:
    """Cross-entropy of an image's community in P's last head, mean, nats; to D̃ and P.

    The neighbour stands in for the image as well. The communities are coarser than classes are wanted, but nearly
    pure, so the trunk has something to hold on to before its own groups mean anything.
    """
    logits = torch.cat([view.group_logits(part)[-1] for part in PAIR])
    wanted = view.step.neighbour_graph.clusters(view.step.unlabelled.ids, logits.shape[1])
    return cross_entropy(logits, torch.from_numpy(wanted).repeat(2).to(logits.device))


def tell_apart(temperature: float) -> Compute:
    """The two pictures of an image are found among all others', mean, nats; to D̃ and P."""

    def compute(view: View) -> Float[Tensor, ""]:
        one, other = (view.nets.partition.codes(view.features[part]) for part in PAIR)
        return contrast.confusion(one, other, temperature)

    return compute


def agree_where_the_graph_does(settings: SelfTraining, spreading: Spreading) -> Compute:
    """FixMatch on C's own confident labels, where the graph is unsure of the same class; to C.

    A graph that is sure of hardly any image of the pool knows nothing of its classes, and is not asked to agree.
    """

    def compute(view: View) -> Float[Tensor, ""]:
        own, graph = own_opinion(view, settings.align), view.step.propagate_labels
        margin = spreading.margin
        used = pseudo_labels.confident(own, settings.confidence) & ~pseudo_labels.confident_by_margin(
            graph, margin
        )
        used &= ~pseudo_labels.out_of_distribution(graph, margin)
        if view.step.share_confident(margin) >= spreading.heard:
            used &= pseudo_labels.agree(own, graph)
        logits = view.judge.classify(view.features[Part.STRONG_UNLABELLED])
        return pseudo_labels.cross_entropy_where(logits, pseudo_labels.hardened(own), used)

    return compute


def follow_the_graph(margin: float) -> Compute:
    """Cross-entropy on labels that spread along the graph, where it is sure; to C."""

    def compute(view: View) -> Float[Tensor, ""]:
        graph = view.step.propagate_labels
        logits = view.judge.classify(view.features[Part.STRONG_UNLABELLED])
        sure = pseudo_labels.confident_by_margin(graph, margin)
        return pseudo_labels.cross_entropy_where(logits, pseudo_labels.hardened(graph), sure)

    return compute


def own_labels(model: Model) -> tuple[Term, ...]:
    """Labels no person gave: with ``spreading`` the graph's where it is sure, C's own where the two agree."""
    w, settings, spreading = model.weights, model.self_training, model.spreading
    weight = w.cls * w.self_training
    if not spreading.weight:
        compute = agree(settings.confidence, settings.align)
        return (Term("agree", compute, weight, w.self_training_ramp),)
    agreeing = agree_where_the_graph_does(settings, spreading)
    return (
        Term("agree", agreeing, weight, w.self_training_ramp),
        Term("follow the graph", follow_the_graph(spreading.margin), w.cls * spreading.weight),
    )


def learn_from_generated(confidence: float) -> Compute:
    """Second term of eq. 9 where C agrees: generated images whose class C has at ``confidence``; to D̃ and C."""

    def compute(view: View) -> Float[Tensor, ""]:
        logits = view.judge.classify(view.features[Part.GENERATED])
        wanted = view.step.prior_classes
        used = (logits.detach().softmax(dim=1) * wanted).sum(dim=1) >= confidence
        return pseudo_labels.cross_entropy_where(logits, wanted, used)

    return compute


def partition_terms(
    model: Model, factor: float = 1.0, ramp: Ramp = terms.ALWAYS, to_trunk: bool = True
) -> tuple[Term, ...]:
    """The groups' two terms."""
    settings = model.partitioning
    names = ("keep neighbours together", "use all groups")
    if not to_trunk:
        names = ("sort into groups", "use all groups, trunk given")
    return (
        Term(names[0], keep_together(to_trunk), factor * settings.disagreement, ramp),
        Term(names[1], use_all_groups(to_trunk), factor * settings.imbalance, ramp),
    )


def phases_before_labels(model: Model) -> tuple[Phase, ...]:
    """One phase: first the trunk learns the communities, or to tell images apart, while P only follows; then both
    find better groups.
    """
    settings = model.partitioning
    end = settings.imitation_steps if settings.imitation or settings.contrast else 0
    first, then = Ramp(begin=end, end=end, falling=True), Ramp(begin=end, end=end)
    found = (
        Term("imitate communities", imitate_communities, settings.imitation, first),
        Term("tell images apart", tell_apart(settings.temperature), settings.contrast, first),
        *partition_terms(model, ramp=first, to_trunk=False),
        *partition_terms(model, ramp=then),
    )
    return (Phase("P", frozenset({D, P}), found, frozenset(PAIR)),)


def few_labels_phases(model: Model) -> tuple[Phase, ...]:
    """The circle of Algorithm 1: D̃ with C and P, then S, then E and G."""
    w, settings = model.weights, model.self_training
    groups = partition_terms(model, model.partitioning.in_rounds)
    labels: tuple[Term, ...]
    if settings.mixing:
        sees, labels = {Part.MIXED}, mixed_terms(model)
    else:
        sees = {Part.STRONG_LABELLED, Part.STRONG_UNLABELLED}
        of_people = Term("classify labelled", terms.classify(Part.STRONG_LABELLED), w.cls)
        labels = (of_people, *own_labels(model))
    if model.partitioning.in_rounds:
        sees |= set(PAIR)
    if w.generated:
        sees.add(Part.GENERATED)
    of_d = (
        *labels,
        *groups,
        Term(
            "classify generated",
            learn_from_generated(settings.confidence),
            w.cls * w.generated,
            w.generated_ramp,
        ),
    )
    matching = Term("feature matching", terms.match_features(model.matching_norm), w.feature_matching)
    seen_by_g = frozenset({Part.UNLABELLED, Part.GENERATED})
    generated = frozenset({Part.GENERATED})
    every = model.training.generate_every
    return (
        Phase("D", frozenset({D, P}), of_d, frozenset(sees), apart=generated),
        terms.sampler_phase(model),
        Phase(
            "E+G",
            frozenset({E, G}),
            (*terms.variational_terms(model), matching),
            seen_by_g,
            apart=seen_by_g,
            every=every,
        ),
    )


def few_labels(
    model: Model, image_shape: ImageShape, class_count: int, stream: Stream, device: torch.device
) -> PhasedLearner:
    """A new learner for few labels; arguments as for :func:`aral.learners.aral.aral`."""
    nets = frozenset({D, E, G, S, P})
    blueprint = Blueprint(model, image_shape, class_count, nets, conditional=True, device=device)
    return PhasedLearner("aral", blueprint, few_labels_phases(model), stream, phases_before_labels(model))
