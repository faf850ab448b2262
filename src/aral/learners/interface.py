"""What the active-learning loop requires of a learner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aral.acquisition.interface import Need, Predictions
from aral.networks import ImageShape
from aral.parallel import ALONE, Group
from aral.randomness import Stream
from aral.types import NO_IDS, Ids, ImageSet, LabelledSet

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Task:
    """What a learner is made for.

    Attributes:
        image_shape: channels, height and width.
        class_count: K.
        stream: decides the initial weights.
        device: where to compute.
        group: the processes that train this learner together.
    """

    image_shape: ImageShape
    class_count: int
    stream: Stream
    device: torch.device = CPU
    group: Group = ALONE


@dataclass(frozen=True)
class StepLosses:
    """What one training step reports.

    Attributes:
        values: each term's unweighted value by name, and each phase's weighted total.
        skipped: phases whose loss or gradient was not finite; their networks were not changed.
    """

    values: dict[str, float]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Gallery:
    """Generated and reconstructed images of a learner with a generator; values in [0, 1].

    Attributes:
        generated: G(z, y), one row a class.
        originals: some images of the pool; none without an encoder.
        reconstructions: G(E(x, C(x)), C(x)) of those images, in the same order.
    """

    generated: Float[Tensor, "K per_class C H W"]
    originals: Float[Tensor, "N C H W"]
    reconstructions: Float[Tensor, "N C H W"]


class Learner(ABC):
    """Trains in steps, predicts by image id, and can be saved and restored between any two steps.

    The loop calls :meth:`start_round`, then :meth:`step` for each step from 0 to ``steps_per_round`` − 1. A
    learner with pretraining is first started with :meth:`start_pretraining` and stepped ``pretraining_steps``
    times. All randomness of a step is a function of the stream it was started with and the step.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The learner's name in tables."""

    @property
    @abstractmethod
    def supplies(self) -> frozenset[Need]:
        """The outputs :meth:`predict` can compute."""

    @property
    @abstractmethod
    def steps_per_round(self) -> int:
        """Training steps of each round."""

    @property
    def weight_count(self) -> int:
        """Numbers in all networks and their averages, for an estimate of the memory needed."""
        return 0

    @property
    def pretraining_steps(self) -> int:
        """Training steps before the first query, on unlabelled images alone."""
        return 0

    @property
    def remark(self) -> str:
        """What a user should know of how these settings are carried out; empty where there is nothing."""
        return ""

    def set_pool(self, pool: ImageSet, stream: Stream) -> None:  # noqa: B027 most learners do not use it
        """Give the learner the whole pool, once, before anything else.

        Args:
            pool: every image, labelled or not.
            stream: decides the randomised parts of the neighbour graph.
        """

    def set_labels(self, labelled: LabelledSet, ood: Ids = NO_IDS) -> None:  # noqa: B027 likewise
        """Give the learner all labels; called before a round starts, and before :meth:`predict` for a query.

        Args:
            labelled: all labelled images.
            ood: ids of out-of-distribution images of the pool.
        """

    def start_pretraining(self, stream: Stream) -> None:
        """Start pretraining on the pool.

        Raises:
            ValueError: this learner has no pretraining.
        """
        raise ValueError(f"'{self.name}' has no pretraining")

    @abstractmethod
    def start_round(
        self, round_number: int, labelled: LabelledSet, unlabelled: ImageSet, stream: Stream
    ) -> None:
        """Take the round's data, start new optimisers and, for a cold start, new networks.

        Args:
            round_number: 0 for the first round.
            labelled: all labelled images, at least one.
            unlabelled: the rest of the pool; may be empty once everything is labelled.
            stream: the round's stream; the same stream gives the same training.
        """

    @abstractmethod
    def step(self, index: int) -> StepLosses:
        """Run training step ``index`` of the round that was started."""

    @abstractmethod
    def halve_learning_rates(self) -> None:
        """Halve every learning rate for the rest of the run, after a step that was not finite."""

    def divide_logits(self, temperature: float) -> None:
        """Divide the class logits of all later predictions by a temperature (Guo et al. 2017), once trained.

        Raises:
            ValueError: this learner has no logits.
        """
        raise ValueError(f"'{self.name}' has no logits")

    @abstractmethod
    def predict(self, images: ImageSet, needs: Iterable[Need], stream: Stream) -> Predictions:
        """Outputs on images in eval mode and in order of id.

        Args:
            images: any images of the learner's shape, at least one.
            needs: the outputs wanted; each must be in :attr:`supplies`.
            stream: decides the Monte-Carlo passes and the passes with dropped features only.
        """

    @abstractmethod
    def diagnose(self, labelled: ImageSet, unlabelled: ImageSet) -> dict[str, float]:
        """Diagnostic figures by name, for instance whether the latents have collapsed."""

    def check_generated(self, labelled: LabelledSet, stream: Stream) -> dict[str, float]:
        """Diagnostic figures by name of what a class-conditional generator makes; empty without one.

        Args:
            labelled: the images that the round was trained on.
            stream: decides what is generated.
        """
        return {}

    def generate(self, classes: Int64[Tensor, " N"], stream: Stream) -> Float[Tensor, "N C H W"] | None:
        """G(z, y) of a class-conditional generator, in eval mode; ``None`` without one.

        Args:
            classes: of each image, 0..K-1.
            stream: decides z ~ N(0, I).

        Returns:
            Pixels in [0, 1]; or features as the networks read them, one position an image.
        """
        return None

    @abstractmethod
    def gallery(self, images: ImageSet, per_class: int, stream: Stream) -> Gallery | None:
        """Generated and reconstructed images; ``None`` for a learner without a generator."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Everything a later :meth:`step` depends on, besides the round's data and stream."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            BadInput: the state belongs to other networks; says which tensor does not fit.
        """
