"""One training step: its batches, its random draws, and the tensors that several phases share.

Tensors are made on first use and kept for the step, so that D, S and then G and E see the same codes and the
same generated images, and each network runs forward once. Which of them may carry gradient is decided by a
:class:`aral.learners.view.View`, one a phase: what a network made is detached unless the phase trains that
network.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from aral.data.augmentation import augment
from aral.data.mixing import Mixture
from aral.learners.nets import Nets
from aral.learners.opinions import Classify, in_evaluation, opinion
from aral.learners.spec import Net, SelfTraining
from aral.losses import gaussian
from aral.randomness import Stream
from aral.representations.graph import NeighbourGraph, PropagatedLabels
from aral.types import Ids, LabelledBatch, UnlabelledBatch


class Part(StrEnum):
    """The kinds of images of a step."""

    LABELLED = "labelled"
    UNLABELLED = "unlabelled"
    WEAK_LABELLED = "weakly augmented labelled"
    STRONG_LABELLED = "strongly augmented labelled"
    STRONG_UNLABELLED = "strongly augmented unlabelled"
    STRONG_NEIGHBOUR = "strongly augmented neighbours of unlabelled"
    MIXED = "strongly augmented labelled and unlabelled, mixed in pairs"
    GENERATED = "generated"
    RECONSTRUCTED = "reconstructed labelled"


BOTH_POOLS = frozenset({Part.LABELLED, Part.UNLABELLED})


class Step:
    """What the phases of one training step share.

    Args:
        nets: the networks, in training mode.
        labelled: gives the step's labelled batch.
        unlabelled: gives the step's unlabelled batch.
        stream: decides the latents and classes of generated images, the codes' noise, and augmentation.
        age: training steps since the networks were initialised.
        encoded: the pools whose images E sees; the labelled one at least.
        self_training: how far images are augmented.
        neighbour_graph: who neighbours whom; for learners that met the pool.
        spread: gives what the round's labels say of the pool along its graph.
        trained_on: ids of the images that may be trained on; ``None``: all.
        teacher: who labels x_U; ``None``: C itself, in evaluation mode.
        class_shares: how frequent each class may be.
    """

    def __init__(
        self,
        nets: Nets,
        labelled: Callable[[], LabelledBatch],
        unlabelled: Callable[[], UnlabelledBatch],
        stream: Stream,
        age: int,
        encoded: frozenset[Part] = BOTH_POOLS,
        self_training: SelfTraining | None = None,
        neighbour_graph: NeighbourGraph | None = None,
        spread: Callable[[], PropagatedLabels] | None = None,
        trained_on: Ids | None = None,
        teacher: Classify | None = None,
        class_shares: Float[np.ndarray, " K"] | None = None,
    ) -> None:
        self.nets = nets
        self.age = age
        self._labelled = labelled
        self._unlabelled = unlabelled
        self._stream = stream
        self._encodes_unlabelled = Part.UNLABELLED in encoded
        self._self_training = self_training or SelfTraining()
        self._neighbourhood = neighbour_graph
        self._spread = spread
        self._trained_on = trained_on
        self._teacher = teacher
        self._class_shares = class_shares

    @cached_property
    def labelled(self) -> LabelledBatch:
        """x_L, y_L."""
        return self._labelled()

    @cached_property
    def unlabelled(self) -> UnlabelledBatch:
        """x_U."""
        return self._unlabelled()

    @cached_property
    def pseudo_labels(self) -> Float[Tensor, "U K"]:
        """ŷ = softmax(C(x_U)), without noise or dropout and without gradient; the teacher's where there is one."""
        return opinion(self._labeller, self.unlabelled.images)

    @cached_property
    def weak_pseudo_labels(self) -> Float[Tensor, "U K"]:
        """softmax(C) of the weakly augmented unlabelled images, likewise."""
        batch = self.unlabelled
        weak = augment(
            batch.images, batch.ids, self._self_training.weak, self._stream.child("weak unlabelled")
        )
        return opinion(self._labeller, weak)

    @property
    def class_shares(self) -> Float[Tensor, " K"]:
        """How frequent each class may be, of the labels so far.

        Raises:
            ValueError: there are no labels yet.
        """
        if self._class_shares is None:
            raise ValueError("there are no labels yet whose shares could be known")
        return torch.from_numpy(self._class_shares).float().to(self.nets.device)

    @cached_property
    def critic_labels(self) -> Float[Tensor, "U K"]:
        """What the critic's own class head says of x_U, likewise."""
        return opinion(in_evaluation(self.nets.judge(Net.CRITIC)), self.unlabelled.images)

    @cached_property
    def weak_labelled_images(self) -> Float[Tensor, "L C H W"]:
        """x_L, weakly augmented."""
        batch = self.labelled
        return augment(batch.images, batch.ids, self._self_training.weak, self._stream.child("weak labelled"))

    @cached_property
    def strong_labelled_images(self) -> Float[Tensor, "L C H W"]:
        """x_L, strongly augmented."""
        return self._strong(self.labelled, "strong labelled")

    @cached_property
    def strong_unlabelled_images(self) -> Float[Tensor, "U C H W"]:
        """x_U, strongly augmented."""
        return self._strong(self.unlabelled, "strong")

    @cached_property
    def strong_neighbour_images(self) -> Float[Tensor, "U C H W"]:
        """One of the neighbours of each of x_U, strongly augmented."""
        batch = self.neighbour_graph.neighbour_batch(self.unlabelled.ids, self._stream.child("neighbours"))
        return self._strong(self._shown(batch.to(self.nets.device)), "strong neighbours")

    @cached_property
    def mixture(self) -> Mixture:
        """Who is mixed with whom among x_L and then x_U."""
        count = len(self.labelled.images) + len(self.unlabelled.images)
        return Mixture.draw(count, self._self_training.mixing, self._stream.child("mixture"))

    @cached_property
    def mixed_images(self) -> Float[Tensor, "B C H W"]:
        """x_L, then x_U, strongly augmented and mixed."""
        return self.mixture(torch.cat([self.strong_labelled_images, self.strong_unlabelled_images]))

    def _shown(self, neighbours: UnlabelledBatch) -> UnlabelledBatch:
        """The neighbours; where one may not be trained on, the image itself."""
        if self._trained_on is None:
            return neighbours
        shown, own = np.isin(neighbours.ids, self._trained_on), self.unlabelled
        kept = torch.from_numpy(shown).to(self.nets.device)[:, None, None, None]
        return UnlabelledBatch(
            np.where(shown, neighbours.ids, own.ids), torch.where(kept, neighbours.images, own.images)
        )

    @property
    def neighbour_graph(self) -> NeighbourGraph:
        """Who neighbours whom in the pool.

        Raises:
            ValueError: the learner has not met the pool.
        """
        if self._neighbourhood is None:
            raise ValueError("this learner has not met the pool, and knows no neighbours")
        return self._neighbourhood

    @cached_property
    def propagate_labels(self) -> Float[Tensor, "U K"]:
        """What the round's labels say of x_U along the graph of neighbours.

        Raises:
            ValueError: there are no labels yet, or the learner has not met the pool.
        """
        return self._along_graph()(self.unlabelled.ids).to(self.nets.device)

    def share_confident(self, margin: float) -> float:
        """The share of the whole pool that the graph gives a class with at least this lead; raises likewise."""
        return self._along_graph().share_confident(margin)

    def _along_graph(self) -> PropagatedLabels:
        if self._spread is None:
            raise ValueError("there are no labels yet that could spread")
        return self._spread()

    @cached_property
    def images(self) -> Float[Tensor, "B C H W"]:
        """Labelled images, then unlabelled ones: E sees both as one batch, normalised alike."""
        if not self._encodes_unlabelled:
            return self.labelled.images
        return torch.cat([self.labelled.images, self.unlabelled.images])

    @cached_property
    def class_probs(self) -> Float[Tensor, "B K"]:
        """Human labels, then pseudo-labels, in one form."""
        if not self._encodes_unlabelled:
            return self.labelled.class_probs
        return torch.cat([self.labelled.class_probs, self.pseudo_labels])

    @cached_property
    def posterior(self) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B Z"]]:
        """Mean and log-variance of q(z|x, y) of labelled, then unlabelled images."""
        mean, log_variance = self.nets.encoder(self.images, self.nets.conditions(self.class_probs))
        return mean, log_variance

    @cached_property
    def codes(self) -> Float[Tensor, "B Z"]:
        """A draw from q(z|x, y) of each image."""
        mean, log_variance = self.posterior
        return gaussian.sample(mean, log_variance, self._normal("codes", len(mean)))

    @cached_property
    def reconstructions(self) -> Float[Tensor, "B C H W"]:
        """The decoder's images of the codes."""
        return self.nets.decoder(self.codes, self.nets.conditions(self.class_probs))

    @cached_property
    def prior_latents(self) -> Float[Tensor, "G Z"]:
        """z ~ N(0, I), as many as there are unlabelled images."""
        return self._normal("prior", len(self.unlabelled.images))

    @cached_property
    def prior_classes(self) -> Float[Tensor, "G K"]:
        """y of the generated images, one-hot, uniform over classes."""
        classes = torch.randint(
            self.nets.class_count,
            (len(self.unlabelled.images),),
            generator=self._stream.child("prior classes").torch(),
        )
        return nn.functional.one_hot(classes, self.nets.class_count).float().to(self.nets.device)

    @cached_property
    def generated(self) -> Float[Tensor, "G C H W"]:
        """G(z, y) of the prior."""
        return self.nets.generator(self.prior_latents, self.nets.generator_conditions(self.prior_classes))

    def real_images(self, part: Part) -> Float[Tensor, "n C H W"]:
        """Images of a part that no network has made."""
        return {
            Part.LABELLED: lambda: self.labelled.images,
            Part.UNLABELLED: lambda: self.unlabelled.images,
            Part.WEAK_LABELLED: lambda: self.weak_labelled_images,
            Part.STRONG_LABELLED: lambda: self.strong_labelled_images,
            Part.STRONG_UNLABELLED: lambda: self.strong_unlabelled_images,
            Part.STRONG_NEIGHBOUR: lambda: self.strong_neighbour_images,
            Part.MIXED: lambda: self.mixed_images,
        }[part]()

    def _strong(self, batch: LabelledBatch | UnlabelledBatch, name: str) -> Float[Tensor, "n C H W"]:
        return augment(batch.images, batch.ids, self._self_training.strong, self._stream.child(name))

    def _normal(self, name: str, count: int) -> Float[Tensor, "count Z"]:
        noise = torch.randn(count, self.nets.latent_size, generator=self._stream.child(name).torch())
        return noise.to(self.nets.device)

    @property
    def _labeller(self) -> Classify:
        return self._teacher or in_evaluation(self.nets.discriminator)
