"""Settings of training, small and frozen, beside what they configure."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from aral.data.augmentation import Augmentation
from aral.margins import CONFIDENT_MARGIN, MIN_CONFIDENT_SHARE
from aral.networks import AnyFamily, MlpFamily
from aral.networks.vgg import VggFamily
from aral.representations.graph import Representation
from aral.settings import Settings


class Net(StrEnum):
    """The networks by role."""

    ENCODER = "encoder"
    GENERATOR = "generator"
    DISCRIMINATOR = "discriminator"
    SAMPLER = "sampler"
    DECODER = "decoder"  # E's own, where G belongs to a GAN that is trained apart
    CRITIC = "critic"  # the discriminator of that GAN
    PARTITION = "partition"  # groups of images that look alike, on D̃'s features


class Adam(Settings):
    """Adam's settings for one network (Kingma and Ba 2015; with decay: AdamW, Loshchilov and Hutter 2019)."""

    rate: float = Field(1e-3, gt=0)  # learning rate in the first part of a round
    beta1: float = Field(0.5, ge=0, lt=1)  # decay of the first moment
    beta2: float = Field(0.999, ge=0, lt=1)  # decay of the second moment
    weight_decay: float = Field(0.0, ge=0)  # a step of rate r keeps 1 − r·this of each matrix and kernel


class Optimisers(Settings):
    """One Adam a network; the paper trains D and S faster than E and G."""

    encoder: Adam = Adam(beta1=0.0)
    generator: Adam = Adam(beta1=0.0)
    discriminator: Adam = Adam(rate=3e-3)
    sampler: Adam = Adam(rate=3e-3)
    decoder: Adam | None = None  # none: the generator's
    critic: Adam | None = None  # none: the discriminator's
    partition: Adam | None = None  # none: the discriminator's

    def of(self, net: Net) -> Adam:
        """The settings of one network."""
        return {
            Net.ENCODER: self.encoder,
            Net.GENERATOR: self.generator,
            Net.DISCRIMINATOR: self.discriminator,
            Net.SAMPLER: self.sampler,
            Net.DECODER: self.decoder or self.generator,
            Net.CRITIC: self.critic or self.discriminator,
            Net.PARTITION: self.partition or self.discriminator,
        }[net]


class Training(Settings):
    """Length, batches and course of one round of training."""

    steps: int = Field(1000, ge=0)  # training steps a round
    labelled_batch: int = Field(100, ge=1)  # labelled images a step
    unlabelled_batch: int = Field(100, ge=2)  # unlabelled and generated images a step; batch norm needs two
    warm_up: int = Field(0, ge=0)  # steps of a round in which the rate rises to its full height
    flat_share: float = Field(2 / 3, ge=0, le=1)  # share of the round before the rate falls linearly to 0
    rate_floor: float = Field(0.0, ge=0)  # the rate never falls below this
    warm_start: bool = True  # networks continue from the round before; otherwise they start anew
    average_decay: float = Field(0.999, ge=0, lt=1)  # averaged classifier for evaluation; 0 = no averaging
    precision: Literal["float32", "bfloat16"] = "float32"  # of the networks' products; weights stay float32
    mc_passes: int = Field(20, ge=2)  # stochastic passes for Monte-Carlo probabilities
    scoring_batch: int = Field(2000, ge=1)  # images a chunk in evaluation and scoring
    synthesised: int = Field(100, ge=1)  # images that query synthesis (gaal) makes a query
    generate_every: int = Field(1, ge=1)  # E, G and S train in every so many steps only


class Ramp(Settings):
    """A factor on a term's weight that rises from 0 to 1 between two ages of the networks, in steps."""

    begin: int = Field(0, ge=0)
    end: int = Field(0, ge=0)
    falling: bool = False  # from 1 to 0 instead

    def at(self, age: int) -> float:
        """The factor after ``age`` training steps since the networks were initialised."""
        risen = 1.0
        if age < self.end:
            risen = max(0.0, (age - self.begin) / max(1, self.end - self.begin))
        return 1.0 - risen if self.falling else risen


class Weights(Settings):
    """Weights of the terms of eq. 5, 8, 9 and 11 to 13 in the paper's symbols."""

    trd: float = 0.001  # λ_trd: reconstruction and divergence
    beta: float = 1.0  # β: divergence against reconstruction
    adv: float = 0.001  # λ_adv: E hides from S
    gan: float = 1.0  # λ_gan: eq. 7, 8 and 10
    cls: float = 1.0  # λ_cls: eq. 9
    generated: float = 1.0  # second term of eq. 9, relative to the first
    generated_ramp: Ramp = Ramp()  # fakes are noise at first
    feature_matching: float = 1.0
    labelled_share: float = Field(0.5, ge=0, le=1)  # of the real side of eq. 8 and 10
    self_training: float = 1.0  # labels the classifier gives itself, relative to people's
    self_training_ramp: Ramp = Ramp()


class SelfTraining(Settings):
    """What learners do that label unlabelled images themselves."""

    entropy: float = Field(0.05, gt=0)  # pseudo-label: used below this entropy, nats (CEAL's first value)
    confidence: float = Field(0.95, ge=0, le=1)  # consistency, aral: used from this highest probability up
    align: bool = False  # consistency, aral: brought nearer to the labels' shares of the classes
    mixing: float = Field(0.0, ge=0)  # aral: α of Beta(α, α), images are mixed in pairs; 0: they are not
    temperature: float = Field(0.5, gt=0, le=1)  # aral: of own labels, where images are mixed
    averaged: bool = False  # consistency, aral: the averaged C labels, by statistics of what it labels
    weak: Augmentation = Augmentation(shift=0.1)  # of labelled images, and of those that are given a label
    strong: Augmentation = Augmentation(shift=0.1, scale=0.2, rotation=20, shear=10, cut_out=0.4)


class Partitioning(Settings):
    """Groups of images that look alike, found from neighbours and augmentation without any label."""

    steps: int = Field(0, ge=0)  # training steps before the first query
    groups_per_class: tuple[PositiveInt, ...] = (1, 3)  # groups of each head, in multiples of K
    neighbours_in: Representation = (
        "gradients"  # neighbours are sought in the directions of edges, or in the pixels
    )
    components: int = Field(50, ge=1)  # in this many principal components of either
    neighbours: int = Field(
        5, ge=0
    )  # nearest images that may stand for an image; 0: only itself, changed anew
    disagreement: float = Field(1.0, ge=0)  # weight of neighbours in different groups
    imbalance: float = Field(2.0, ge=0)  # weight of groups that share the pool unequally
    communities_per_class: int = Field(2, ge=1)  # parts of the neighbour graph, in multiples of K
    imitation: float = Field(1.0, ge=0)  # weight of telling the communities apart, before labels
    imitation_steps: int = Field(500, ge=0)  # of the steps before labels, the first ones
    contrast: float = Field(0.0, ge=0)  # weight of telling images apart, in these same steps
    temperature: float = Field(0.2, gt=0)  # of that
    code_size: int = Field(64, ge=1)  # by codes of this size
    in_rounds: float = Field(1.0, ge=0)  # factor on both once there are labels
    strong: Augmentation | None = None  # before labels; none: that of `self_training`


class Spreading(Settings):
    """Labels that spread along the graph of neighbours, beside those the classifier gives itself."""

    weight: float = Field(
        0.0, ge=0
    )  # of an image with a label from the graph, relative to people's; 0 = none
    margin: float = Field(
        CONFIDENT_MARGIN, ge=0, le=1
    )  # the graph is sure from this lead of its likeliest class up
    heard: float = Field(
        MIN_CONFIDENT_SHARE, ge=0, le=1
    )  # C's own labels need its consent where it is sure of this share


class SeparateGan(Settings):
    """A class-conditional GAN trained apart from the classifier and from E (S3GAN; Lučić et al. 2019)."""

    loss: Literal["logistic", "hinge"] = "hinge"
    labels: Literal["hard", "soft"] = "hard"  # what the critic's own prediction gives an unlabelled image
    predictor: float = 1.0  # weight of the critic's cross-entropy on labelled images
    rotation: float = Field(0.0, ge=0)  # weight of rotation in the critic; S3GAN: 1.0; scale "biggan" only
    rotation_of_generated: float = Field(0.0, ge=0)  # the same in G; S3GAN: 0.2


class Objective(StrEnum):
    """How real and generated images are told apart."""

    PAPER = "paper"  # eq. 7 to 10: a joint realness head c_rf over (x, z, y)
    RELEASED = "released"  # the authors' code: realness read from the class logits, G by feature matching


class Model(Settings):
    """The networks and how they are trained."""

    networks: AnyFamily = MlpFamily()
    classifier: VggFamily | None = None  # the trunk of C; none: D̃ of `networks`
    latent_size: int = Field(100, ge=1)  # Z
    optimisers: Optimisers = Optimisers()
    training: Training = Training()
    weights: Weights = Weights()
    matching_norm: Literal["squared", "absolute"] = "squared"  # of feature matching
    sampler_sees: Literal["mean", "sample"] = "mean"  # of q(z|x, y), for both pools alike
    separate_gan: SeparateGan = SeparateGan()
    self_training: SelfTraining = SelfTraining()
    partitioning: Partitioning = Partitioning()
    spreading: Spreading = Spreading()

    @model_validator(mode="after")
    def _has_an_average_that_labels(self) -> Model:
        if self.self_training.averaged and not self.training.average_decay:
            raise ValueError("self_training.averaged needs a training.average_decay above 0")
        return self

    def augmented(self, before_labels: bool) -> SelfTraining:
        """How far images are changed, before the first query or after."""
        if before_labels and self.partitioning.strong is not None:
            return self.self_training.model_copy(update={"strong": self.partitioning.strong})
        return self.self_training
