"""graph-ssl: semi-supervised learning for a handful of labels, from parts that are each known.

*Pretraining*, before the first label: D̃ learns clusters of the pool. First it imitates communities of the neighbour
graph, then an image and its neighbour must fall into the same cluster under any augmentation (SCAN; Van Gansbeke et
al. 2020). Ten typical images of ten clusters show about ten classes.

*With labels*: C starts from the clusters of the first labelled images. It is trained on labels, on its own confident
predictions (FixMatch; Sohn et al. 2020) and on labels propagated along the neighbour graph (Zhou et al. 2004); or on
mixtures of all images (MixMatch; Berthelot et al. 2019, with the augmentation and cross-entropy of ReMixMatch, 2020),
for data on which C soon becomes confident of too much.

E, G and S are trained beside it, on eq. 5, eq. 6 and feature matching of the paper, for queries by the sampler and for
pictures. No adversarial loss reaches C; generated images do only if ``weights.generated`` is above 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Literal, TypeAlias, cast

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.utils import parametrize

from aral.data.augmentation import Augmentation
from aral.data.mixing import Mixture
from aral.learners.aral import (
    SamplerSees,
    VaeWeights,
    encode,
    encoder_generator_phase,
    matching_term,
    sampler_phase,
    vae_terms,
)
from aral.learners.engine import Batch, Engine, FirstLabels, Method, Phase, Term
from aral.learners.fixmatch import PseudoLabelling, predict_with_teacher, pseudo_labels
from aral.learners.interface import Task
from aral.learners.nets import Nets
from aral.learners.settings import (
    Adam,
    AdversarialOptimisers,
    GenerativePrediction,
    LearnerSettings,
    Net,
    Ramp,
    SemiSupervisedTraining,
)
from aral.losses import clustering
from aral.losses import pseudo_labels as losses
from aral.losses.classification import cross_entropy
from aral.margins import CONFIDENT_MARGIN, MIN_CONFIDENT_SHARE
from aral.networks.cluster_heads import ClusterHeads
from aral.networks.interface import Discriminator
from aral.networks.layers import fixed_statistics
from aral.networks.parts import TrunkDiscriminator
from aral.settings import Settings

Generated: TypeAlias = Callable[[], tuple[Tensor, Tensor]]
"""G(z, y) of the prior and y, computed on first use."""

CLASSIFIER = frozenset({Net.DISCRIMINATOR, Net.CLUSTERS})


class GraphSslOptimisers(AdversarialOptimisers):
    """Adam of the networks, and of the cluster heads."""

    clusters: Adam | None = None  # None: the discriminator's


class GraphSslTraining(SemiSupervisedTraining):
    """Training in which E, G and S may move less often than C."""

    generate_every: int = Field(1, ge=1)  # E, G and S train in every so many steps only


class GraphSslWeights(VaeWeights):
    """Weights of the terms."""

    cls: float = 1.0  # cross-entropy of labelled images
    pseudo_labels: float = 1.0  # of C's own pseudo-labels, relative to labels
    pseudo_labels_ramp: Ramp = Ramp()
    propagated: float = Field(0.0, ge=0)  # of propagated labels, relative to labels; 0: the graph is not used
    generated: float = 1.0  # of generated images that C recognises, relative to labels
    generated_ramp: Ramp = Ramp()
    feature_matching: float = 1.0


class MixedPseudoLabelling(PseudoLabelling):
    """Pseudo-labels, and mixing of images in pairs."""

    mixup: float = Field(0.0, ge=0)  # α of Beta(α, α), from which mixup coefficients are drawn; 0: no mixing
    temperature: float = Field(0.5, gt=0, le=1)  # sharpens C's own pseudo-labels where images are mixed


class Propagation(Settings):
    """When a propagated label is used."""

    margin: float = Field(CONFIDENT_MARGIN, ge=0, le=1)  # from this margin up
    min_share: float = Field(
        MIN_CONFIDENT_SHARE, ge=0, le=1
    )  # of the pool: pseudo-labels must agree with such a graph


class Pretraining(Settings):
    """Clusters of the pool, learned from neighbours and augmentation without any label."""

    steps: int = Field(0, ge=0)  # training steps before the first query
    clusters_per_class: tuple[PositiveInt, ...] = (1, 3)  # clusters of each head, in multiples of K
    neighbours: int = Field(5, ge=0)  # nearest images that may stand for an image; 0: only itself
    consistency: float = Field(1.0, ge=0)  # weight of neighbours in different clusters
    balance: float = Field(2.0, ge=0)  # weight of clusters that share the batch unequally
    communities_per_class: int = Field(2, ge=1)  # communities of the neighbour graph, in multiples of K
    imitation: float = Field(1.0, ge=0)  # weight of classifying communities, in the first steps
    imitation_steps: int = Field(500, ge=0)  # how many of the steps that is
    in_rounds: float = Field(1.0, ge=0)  # factor on consistency and balance once there are labels
    strong: Augmentation | None = None  # before labels; None: that of pseudo_labels


class GraphSslSettings(LearnerSettings):
    """Settings of graph-ssl."""

    name: Literal["graph-ssl"] = "graph-ssl"
    optimisers: GraphSslOptimisers = GraphSslOptimisers()
    training: GraphSslTraining = GraphSslTraining()
    prediction: GenerativePrediction = GenerativePrediction()
    weights: GraphSslWeights = GraphSslWeights()
    pretraining: Pretraining = Pretraining()
    pseudo_labels: MixedPseudoLabelling = MixedPseudoLabelling()
    propagation: Propagation = Propagation()
    matching_norm: Literal["squared", "absolute"] = "squared"  # of feature matching
    sampler_sees: SamplerSees = "mean"  # of q(z|x, y), for both sets alike

    @model_validator(mode="after")
    def _has_its_teacher(self) -> GraphSslSettings:
        if self.pseudo_labels.teacher == "ema" and not self.training.average_decay:
            raise ValueError("pseudo_labels.teacher='ema' needs training.average_decay above 0")
        return self

    @property
    def nets(self) -> frozenset[Net]:
        """All networks of ARAL, and the cluster heads."""
        return CLASSIFIER | {Net.ENCODER, Net.GENERATOR, Net.SAMPLER}

    @property
    def labelled_augmentation(self) -> Augmentation:
        """Labelled images are strongly augmented."""
        return self.pseudo_labels.strong

    @property
    def mixup(self) -> float:
        """α of the mixup coefficients."""
        return self.pseudo_labels.mixup

    @property
    def pretraining_steps(self) -> int:
        """Training steps before the first query."""
        return self.pretraining.steps

    @property
    def neighbours(self) -> int:
        """Nearest images that may stand for an image."""
        return self.pretraining.neighbours

    def build(self, task: Task) -> Engine:
        """A new learner."""
        return Engine(GraphSsl(self), self, task)


class GraphSsl(Method):
    """Pretraining, then C with the clusters, S, and E with G."""

    def __init__(self, settings: GraphSslSettings) -> None:
        self.settings = settings

    # --- Before labels

    def pretraining_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """First D̃ learns the communities and the cluster heads only follow; then both find better clusters."""
        s = self.settings.pretraining
        pair = self._strong_pair(batch, s.strong or self.settings.pseudo_labels.strong)
        h = torch.split(nets.discriminator.features(torch.cat(pair)), [len(x) for x in pair])
        heads, communities = cluster_heads(nets), batch.unlabelled.ids
        if batch.age >= (s.imitation_steps if s.imitation else 0):
            yield Phase("clusters", CLASSIFIER, self._cluster_terms(heads, h, 1.0))
            return

        def classify_communities() -> Tensor:  # coarse, but nearly pure: a first target for the trunk
            logits = torch.cat([heads(part)[-1] for part in h])
            found = batch.graph.clusters(communities, logits.shape[1])
            return torch.nn.functional.cross_entropy(
                logits, torch.from_numpy(found).repeat(2).to(logits.device)
            )

        detached = tuple(part.detach() for part in h)
        imitation = Term("classify communities", s.imitation, classify_communities)
        yield Phase(
            "clusters", CLASSIFIER, (imitation, *self._cluster_terms(heads, detached, 1.0, ", heads only"))
        )

    def _strong_pair(self, batch: Batch, strong: Augmentation) -> tuple[Tensor, Tensor]:
        """Strongly augmented x_U, and a strongly augmented neighbour of each."""
        return (
            batch.augmented(batch.unlabelled, strong, "strong"),
            batch.augmented(batch.neighbours, strong, "strong neighbours"),
        )

    def _cluster_terms(
        self, heads: ClusterHeads, h: tuple[Tensor, ...], factor: float, suffix: str = ""
    ) -> tuple[Term, ...]:
        """SCAN's two terms, mean over the cluster heads; the last head belongs to the communities."""
        s = self.settings.pretraining

        def logits() -> list[tuple[Tensor, Tensor]]:
            one, other = (heads(part)[:-1] for part in h)
            return list(zip(one, other, strict=True))

        def consistency() -> Tensor:
            return torch.stack([clustering.disagreement(*pair) for pair in logits()]).mean()

        def balance() -> Tensor:
            return torch.stack([clustering.imbalance(torch.cat(pair)) for pair in logits()]).mean()

        return (
            Term(f"neighbours in one cluster{suffix}", factor * s.consistency, consistency),
            Term(f"balanced clusters{suffix}", factor * s.balance, balance),
        )

    def extra_networks(self, discriminator: Discriminator, class_count: int) -> Mapping[Net, nn.Module]:
        """Linear cluster heads on D̃'s features."""
        s = self.settings.pretraining
        counts = tuple(class_count * each for each in (*s.clusters_per_class, s.communities_per_class))
        return {Net.CLUSTERS: ClusterHeads(discriminator.feature_size, counts)}

    def use_first_labels(self, discriminator: nn.Module, clusters: nn.Module, found: FirstLabels) -> None:
        """C starts as the first cluster head, with classes in place of clusters."""
        classifier_from_clusters(discriminator, clusters, found)

    # --- With labels

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """C with the clusters, then S, then E and G."""
        s, w, disc = self.settings, self.settings.weights, nets.discriminator

        @cache
        def generated() -> tuple[Tensor, Tensor]:  # shared by C, which sees the images detached, and G
            z, y = batch.prior(nets)
            return nets.generate(z, y), y

        yield self._classifier_phase(nets, batch, generated)
        if batch.index % s.training.generate_every:
            return

        # S, eq. 13; ŷ is the teacher's, stop-gradient.
        x_l, y_l, x_u = batch.labelled.images, batch.labelled.class_probs, batch.unlabelled.images
        y_u = predict_with_teacher(nets, batch, s.pseudo_labels, x_u)
        codes = encode(nets, batch, torch.cat([x_l, x_u]), torch.cat([y_l, y_u]), len(x_l))
        yield sampler_phase(nets, codes, s.sampler_sees)

        def matched() -> tuple[Tensor, Tensor]:  # by the statistics of evaluation, which they do not shift
            with torch.no_grad(), fixed_statistics(disc):
                h_u = disc.features(x_u)
            with fixed_statistics(disc):
                return h_u, disc.features(generated()[0])

        # E and G: eq. 5 and feature matching; D is frozen.
        terms = vae_terms(nets, codes, w, s.networks.pixel_range, s.sampler_sees)
        yield encoder_generator_phase(
            nets, [*terms, matching_term(w.feature_matching, s.matching_norm, matched)]
        )

    def _classifier_phase(self, nets: Nets, batch: Batch, generated: Generated) -> Phase:
        s, w, disc = self.settings, self.settings.weights, nets.discriminator
        strong, in_rounds = s.pseudo_labels.strong, s.pretraining.in_rounds
        strong_l = batch.augmented(batch.labelled, strong, "strong labelled")
        strong_u = batch.augmented(batch.unlabelled, strong, "strong")
        # One pass over all images, in this order; those that no term reads are left out.
        mixture = self._mixture(batch)
        classes = None
        if mixture:  # predicted before the pass, whose batch norm statistics are those of mixed images
            y_l = batch.labelled.class_probs
            classes = mixture(torch.cat([y_l, self._soft_labels(nets, batch)]))
        images = {} if mixture else {"labelled": strong_l}
        if not mixture or in_rounds:
            images["unlabelled"] = strong_u
        if in_rounds:
            images["neighbours"] = batch.augmented(batch.neighbours, strong, "strong neighbours")
        if mixture:
            images["mixed"] = mixture(torch.cat([strong_l, strong_u]))
        h = dict(
            zip(
                images,
                torch.split(
                    disc.features(torch.cat(list(images.values()))), [len(x) for x in images.values()]
                ),
                strict=True,
            )
        )
        if w.generated:  # by the statistics of evaluation: generated images neither shift nor enter them
            with fixed_statistics(disc):
                h["generated"] = disc.features(generated()[0].detach())

        terms: list[Term] = []
        if classes is not None:
            terms += self._mixed_terms(nets, batch, h["mixed"], classes)
        else:
            y_l = batch.labelled.class_probs
            labelled = Term(
                "classify labelled", w.cls, lambda: cross_entropy(disc.classify(h["labelled"]), y_l)
            )
            terms += [labelled, *self._pseudo_label_terms(nets, batch, h["unlabelled"])]
        if in_rounds:
            terms += self._cluster_terms(cluster_heads(nets), (h["unlabelled"], h["neighbours"]), in_rounds)
        if w.generated:
            weight = w.cls * w.generated * w.generated_ramp.at(batch.age)
            terms.append(
                Term(
                    "classify generated",
                    weight,
                    lambda: self._recognised(disc.classify(h["generated"]), generated()[1]),
                )
            )
        return Phase("C", CLASSIFIER, tuple(terms))

    def _pseudo_label_terms(self, nets: Nets, batch: Batch, h_u: Tensor) -> list[Term]:
        """Propagated labels where their margin is large; C's own pseudo-labels where those do not contradict."""
        s, w, disc = self.settings, self.settings.weights, nets.discriminator
        margin = s.propagation.margin

        def consistency() -> Tensor:
            y_u = pseudo_labels(nets, batch, s.pseudo_labels)
            used = losses.confident(y_u, s.pseudo_labels.confidence)
            if w.propagated:
                graph = batch.propagated_labels
                used &= ~losses.confident_by_margin(graph, margin)  # those have their own term
                used &= ~losses.out_of_distribution(graph, margin)
                if batch.share_confident(margin) >= s.propagation.min_share:
                    used &= losses.agree(y_u, graph)
            return losses.cross_entropy_where(disc.classify(h_u), losses.hardened(y_u), used)

        def propagated() -> Tensor:
            graph = batch.propagated_labels
            used = losses.confident_by_margin(graph, margin)
            return losses.cross_entropy_where(disc.classify(h_u), losses.hardened(graph), used)

        weight = w.cls * w.pseudo_labels * w.pseudo_labels_ramp.at(batch.age)
        return [
            Term("consistency", weight, consistency),
            Term("classify propagated", w.cls * w.propagated, propagated),
        ]

    def _mixture(self, batch: Batch) -> Mixture | None:
        """Partners and mixup coefficients of x_L, then x_U."""
        alpha = self.settings.pseudo_labels.mixup
        count = len(batch.labelled.images) + len(batch.unlabelled.images)
        return Mixture.draw(count, alpha, batch.stream.child("mixture")) if alpha else None

    def _mixed_terms(self, nets: Nets, batch: Batch, h: Tensor, classes: Float[Tensor, "B K"]) -> list[Term]:
        """Cross-entropy of mixed images and equally mixed classes: first those that are mostly labelled images."""
        w, disc, count = self.settings.weights, nets.discriminator, len(batch.labelled.images)

        def mixed(half: slice) -> Tensor:
            return cross_entropy(disc.classify(h)[half], classes[half])

        weight = w.cls * w.pseudo_labels * w.pseudo_labels_ramp.at(batch.age)
        return [
            Term("classify mixed labelled", w.cls, lambda: mixed(slice(count))),
            Term("classify mixed unlabelled", weight, lambda: mixed(slice(count, None))),
        ]

    def _soft_labels(self, nets: Nets, batch: Batch) -> Float[Tensor, "U K"]:
        """The propagated label of x_U where its margin is large, else C's own, sharpened; no gradient.

        A row of zeros is an image that is probably out of distribution: it contributes no class.
        """
        s, margin = self.settings.pseudo_labels, self.settings.propagation.margin
        own = losses.sharpened(pseudo_labels(nets, batch, s), s.temperature)
        if not self.settings.weights.propagated:
            return own
        graph = batch.propagated_labels
        used = losses.confident_by_margin(graph, margin)[:, None]
        known = ~losses.out_of_distribution(graph, margin)[:, None]
        return torch.where(used, losses.hardened(graph), own) * known

    def _recognised(self, logits: Float[Tensor, "G K"], y_g: Float[Tensor, "G K"]) -> Float[Tensor, ""]:
        """Second term of eq. 9 on generated images whose intended class C recognises with confidence τ."""
        probability = (logits.detach().softmax(dim=1) * y_g).sum(dim=1)
        return losses.cross_entropy_where(logits, y_g, probability >= self.settings.pseudo_labels.confidence)


def cluster_heads(nets: Nets) -> ClusterHeads:
    """The cluster heads of a learner."""
    return cast(ClusterHeads, nets.modules[Net.CLUSTERS])


UNSEEN_CLASS = 3.0
"""How much lower, in nats, the logit of a class without labels starts than the others' on average."""

_SMALL_WEIGHT = 1e-6


@torch.no_grad()
def classifier_from_clusters(discriminator: nn.Module, clusters: nn.Module, found: FirstLabels) -> None:
    """Give each class the weights of the clusters that its labelled images fall into.

    The weights of a class are the mean of those clusters' weights in the first head, by how many of its images are
    in each. A class without labels starts without weights, and less probable than the others.

    Args:
        discriminator: D̃ with C; C is changed in place, its trunk is not.
        clusters: the cluster heads.
        found: cluster and class of the labelled images.
    """
    layer = cast(nn.Linear, cast(TrunkDiscriminator, discriminator).class_layer)
    heads = cast(ClusterHeads, clusters)
    count = heads.cluster_counts[0]
    shares = torch.zeros(layer.out_features, count, device=layer.weight.device)
    ones = torch.ones(len(found.classes), device=shares.device)
    shares.index_put_((found.classes, found.cluster), ones, accumulate=True)
    seen = shares.sum(dim=1) > 0
    shares /= shares.sum(dim=1, keepdim=True).clamp(min=1)
    weight = shares @ heads.layer.weight[:count]
    bias = shares @ heads.layer.bias[:count]
    bias[~seen] = bias[seen].mean() - UNSEEN_CLASS
    if parametrize.is_parametrized(layer):
        weight[~seen] = _SMALL_WEIGHT * layer.weight[~seen]  # weight norm needs a direction
        layer.weight = weight  # decomposed by the parametrisation
    else:
        layer.weight.copy_(weight)
    layer.bias.copy_(bias)
