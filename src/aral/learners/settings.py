"""Settings that every learner has; what only one method has stands beside that method."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from aral.data.augmentation import Augmentation
from aral.learners.interface import Learner, Task
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
    DECODER = "decoder"  # of the VAE, where G belongs to a separately trained GAN
    CRITIC = "critic"  # the discriminator of that GAN
    CLUSTERS = "clusters"  # heads that assign images to clusters, on D̃'s features


class NotShared:
    """Marks a setting in which methods may differ and still be compared fairly."""


NOT_SHARED = NotShared()


class Adam(Settings):
    """Adam's settings for one network (Kingma and Ba 2015; with decay: AdamW, Loshchilov and Hutter 2019)."""

    rate: float = Field(1e-3, gt=0)  # learning rate in the first part of a round
    beta1: float = Field(0.5, ge=0, lt=1)  # decay of the first moment
    beta2: float = Field(0.999, ge=0, lt=1)  # decay of the second moment
    weight_decay: float = Field(0.0, ge=0)  # decoupled; matrices and kernels only


class ClassifierOptimiser(Settings):
    """Adam for the one network of a classifier."""

    discriminator: Adam = Adam(rate=3e-3)

    def of(self, net: Net) -> Adam:
        """The settings of one network; one without settings of its own has those of a related network."""
        own: Adam | None = getattr(self, net, None)
        return own or self.of(_SAME_RATES_AS[net])


class AdversarialOptimisers(ClassifierOptimiser):
    """One Adam a network; the paper trains D and S faster than E and G."""

    encoder: Adam = Adam(beta1=0.0)
    generator: Adam = Adam(beta1=0.0)
    sampler: Adam = Adam(rate=3e-3)


_SAME_RATES_AS: Mapping[Net, Net] = {
    Net.DECODER: Net.GENERATOR,
    Net.CRITIC: Net.DISCRIMINATOR,
    Net.CLUSTERS: Net.DISCRIMINATOR,
}


class Training(Settings):
    """Length, batches and learning rates of one round of training."""

    steps: int = Field(1000, ge=0)  # training steps a round
    labelled_batch: int = Field(100, ge=1)  # labelled images a step
    warm_up: int = Field(0, ge=0)  # steps over which the learning rate rises linearly
    flat_share: float = Field(2 / 3, ge=0, le=1)  # share of the round before the rate falls linearly to 0
    rate_floor: float = Field(0.0, ge=0)  # the learning rate never falls below this
    warm_start: bool = True  # networks continue from the previous round; otherwise they are initialised anew
    average_decay: float = Field(0.999, ge=0, lt=1)  # EMA of the classifier for evaluation; 0 = none
    precision: Literal["float32", "bfloat16"] = "float32"  # of forward passes; weights stay float32
    accumulate: int = Field(1, ge=1)  # a step's batches are processed in so many parts, to need less memory


class SemiSupervisedTraining(Training):
    """Training on unlabelled images as well."""

    unlabelled_batch: int = Field(100, ge=2)  # unlabelled, and generated, images a step


class Prediction(Settings):
    """Evaluation and scoring of the pool."""

    batch: int = Field(2000, ge=1)  # images scored at once
    mc_passes: int = Field(20, ge=2)  # stochastic passes for Monte-Carlo probabilities


class GenerativePrediction(Prediction):
    """Prediction by a learner with a generator."""

    synthesised: int = Field(100, ge=1)  # images that query synthesis (gaal) generates a query


class Graph(Settings):
    """The neighbour graph of the pool: read by graph acquisitions and by label propagation."""

    compare: Representation = "gradients"  # neighbours are nearest in oriented gradients, or in pixels
    components: int = Field(50, ge=1)  # … after reduction to this many principal components


class Ramp(Settings):
    """A factor on a term's weight that rises linearly from 0 to 1 between two training steps."""

    begin: int = Field(0, ge=0)
    end: int = Field(0, ge=0)

    def at(self, age: int) -> float:
        """The factor after ``age`` training steps since the networks were initialised."""
        if age >= self.end:
            return 1.0
        return max(0.0, (age - self.begin) / max(1, self.end - self.begin))


class LearnerSettings(Settings):
    """What every learner has. Subclasses add what their method has and say how the learner is built.

    The fields declared here and in :class:`Training` and :class:`ClassifierOptimiser` concern the classifier, its
    labels and its training: methods that are compared must agree in them, unless a field is marked. What subclasses
    declare is the method's own.

    Attributes:
        name: the method.
        networks: sizes of E, G, D and S at one scale.
        classifier: the trunk of C where it is not the D̃ of ``networks``.
        latent_size: Z. It also sizes c_rf, so that all methods start from the same D.
    """

    name: Annotated[str, NOT_SHARED]
    networks: AnyFamily = MlpFamily()
    classifier: VggFamily | None = None
    latent_size: Annotated[int, NOT_SHARED] = Field(100, ge=1)
    optimisers: ClassifierOptimiser = ClassifierOptimiser()
    training: Training = Training()
    prediction: Annotated[Prediction, NOT_SHARED] = Prediction()
    graph: Annotated[Graph, NOT_SHARED] = Graph()

    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Settings by the name of a variant, as in ``aral:no-sampler``."""

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants that these settings are, without the default ones."""
        default = {name: field.default for name, field in type(self).model_fields.items()}
        found = [
            variant
            for variant, values in self.VARIANTS.items()
            if all(getattr(self, name) == value for name, value in values.items())
            and any(default[name] != value for name, value in values.items())
        ]
        # A variant that another one includes is not named beside it.
        return tuple(
            variant
            for variant in found
            if not any(
                self.VARIANTS[variant].items() < self.VARIANTS[other].items()
                for other in found
                if other != variant
            )
        )

    @property
    def title(self) -> str:
        """The method with its variants, such as ``aral:released:no-sampler``: its name in tables."""
        return ":".join((self.name, *self.variants))

    @property
    @abstractmethod
    def nets(self) -> frozenset[Net]:
        """The networks that the method trains."""

    @property
    def unused(self) -> frozenset[str]:
        """Settings that concern a network the method does not train, such as ``networks.encoder_sizes``."""
        roles = set(self.nets) | ({Net.GENERATOR} if Net.DECODER in self.nets else set())
        absent = [net for net in Net if net not in roles]
        groups = ((self.networks, "networks."), (self.optimisers, "optimisers."), (self, ""))
        return frozenset(
            f"{prefix}{name}"
            for group, prefix in groups
            for name in type(group).model_fields
            for net in absent
            if name.startswith(f"{net}_") or (prefix == "optimisers." and name == net)
        )

    @property
    def labelled_augmentation(self) -> Augmentation:
        """How labelled images are augmented before the classifier is trained on them."""
        return Augmentation()

    @property
    def mixup(self) -> float:
        """α of the Beta distribution from which mixup coefficients are drawn; 0: images are not mixed."""
        return 0.0

    @property
    def pretraining_steps(self) -> int:
        """Training steps before the first query, on unlabelled images alone."""
        return 0

    @property
    def neighbours(self) -> int:
        """Nearest neighbours of an image that may stand for it in training; 0: none."""
        return 0

    def as_built(self) -> LearnerSettings:
        """The settings that the networks are made with; others only where a learner fixes some of them."""
        return self

    @abstractmethod
    def build(self, task: Task) -> Learner:
        """A new learner with these settings.

        Raises:
            BadInput: the networks cannot take such images, or the settings do not fit together.
        """
