"""The training engine: runs the phases of any method, each moving its own networks and no others.

A method (:class:`Method`) describes one training step as a sequence of phases. For each phase the engine evaluates
the terms, takes the gradient of their weighted sum with respect to the phase's networks, and makes one Adam step.
The engine owns everything that methods share: networks and their initial weights, optimisers and learning rates,
the exponential moving average of the classifier, precision, and the state that a checkpoint holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn
from torch.nn.functional import one_hot

from aral.acquisition.interface import Need, Predictions
from aral.data.augmentation import Augmentation, augment
from aral.data.batches import Ahead, LabelledBatches, UnlabelledBatches, gather
from aral.errors import BadInput
from aral.learners.division import Divisible, Evaluated, mean_of, parts_of, remark_on
from aral.learners.ema import Ema
from aral.learners.interface import Gallery, Learner, StepLosses, Task
from aral.learners.nets import Nets
from aral.learners.optimisers import NetOptimisers
from aral.learners.prediction import Predictor
from aral.learners.settings import LearnerSettings, Net, SemiSupervisedTraining
from aral.logistic import calibrated_logistic
from aral.networks.interface import Discriminator, PixelRange
from aral.parallel import WHOLE, Part, divided
from aral.randomness import Stream
from aral.representations.graph import NeighbourGraph, PropagatedLabels
from aral.types import NO_IDS, Ids, ImageSet, LabelledBatch, LabelledSet, UnlabelledBatch

# --- What a method is ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """One weighted loss.

    Attributes:
        name: as it appears in logs.
        weight: λ; a term of weight 0 is not computed.
        compute: gives the unweighted value, nats per image.
    """

    name: str
    weight: float
    compute: Callable[[], Float[Tensor, ""]]


@dataclass(frozen=True)
class Phase:
    """One optimiser update: the sum of the terms moves these networks and no others.

    Attributes:
        name: as it appears in logs.
        trains: the networks that move.
        terms: the weighted losses.
    """

    name: str
    trains: frozenset[Net]
    terms: tuple[Term, ...]


class Method(ABC):
    """How a learner trains: a training step as a generator of phases.

    The engine applies a phase as soon as it is yielded, so what the generator computes afterwards sees the
    networks already moved. A tensor that should not carry gradient into another phase's networks is detached by
    the method, which also saves the computation.

    Args:
        settings: the learner's.
    """

    conditional = True
    """Whether E and its decoder are given class probabilities."""

    @abstractmethod
    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """The phases of one training step, in order."""

    def division(self) -> Divisible | None:
        """How a training step can be divided; ``None`` where it cannot.

        A step can be divided if the mean of each term over the parts is the term of the whole batch, and its draws are
        those of :class:`Batch`; no phase uses the gradient graph of an earlier phase's term.
        """
        return None

    def pretraining_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """The phases of one step before the first label; none for a method without pretraining."""
        return iter(())

    def extra_networks(self, discriminator: Discriminator, class_count: int) -> Mapping[Net, nn.Module]:
        """Networks that are not part of a family, such as cluster heads on D̃."""
        return {}

    def use_first_labels(  # noqa: B027 only a method with clusters has something to do
        self, discriminator: nn.Module, clusters: nn.Module, found: FirstLabels
    ) -> None:
        """Initialise C from the clusters, in place, when the first labels are there."""


@dataclass(frozen=True, eq=False)
class FirstLabels:
    """The labelled images of the first round after pretraining.

    Attributes:
        cluster: the most probable cluster of each image, of the first head.
        classes: its class.
    """

    cluster: Tensor
    classes: Tensor


# --- Data and random draws of a step ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """What a learner trains on for a number of steps: a round, or pretraining.

    Attributes:
        step: the method's training step for this stage.
        steps: how many there are.
        stream: decides everything random in them.
        unlabelled: gives the unlabelled batch of a step.
        labelled: gives the labelled batch of a step; ``None`` in pretraining.
        propagated: gives the labels propagated along the neighbour graph; ``None`` in pretraining.
        trainable: ids of the images that may be trained on; ``None``: the whole pool.
        class_shares: the share of each class among the labels; ``None`` in pretraining.
        linear: weights and biases of logistic regression on the labels; ``None`` in pretraining.
        part: which part of a step's batches these are; draws are those rows of the draws for all.
    """

    step: Callable[[Nets, Batch], Iterator[Phase]]
    steps: int
    stream: Stream
    unlabelled: Callable[[int], UnlabelledBatch]
    labelled: Callable[[int], LabelledBatch] | None = None
    propagated: Callable[[], PropagatedLabels] | None = None
    trainable: Ids | None = None
    class_shares: Float[np.ndarray, " K"] | None = None
    linear: Callable[[], tuple[Tensor, Tensor]] | None = None
    part: Part = WHOLE


class Batch:
    """The images and random draws of one training step; each is made on first use and kept for the step.

    Args:
        stage: the round, or pretraining.
        index: of the step in the stage, from 0.
        age: training steps since the networks were initialised.
        device: where to compute.
        graph: the neighbour graph of the pool; ``None`` where no pool was given.
        teach: class probabilities of images from the averaged classifier; ``None`` without one.
    """

    def __init__(
        self,
        stage: Stage,
        index: int,
        age: int,
        device: torch.device,
        graph: NeighbourGraph | None,
        teach: Callable[[Tensor], Tensor] | None,
    ) -> None:
        self.index = index
        self.age = age
        self.part = stage.part
        self.stream = stage.stream.child("step", index)
        self.teach = teach
        self._stage = stage
        self._device = device
        self._graph = graph

    @cached_property
    def labelled(self) -> LabelledBatch:
        """x_L, y_L.

        Raises:
            ValueError: in pretraining.
        """
        if self._stage.labelled is None:
            raise ValueError("there are no labels in pretraining")
        return self._stage.labelled(self.index).to(self._device)

    @cached_property
    def unlabelled(self) -> UnlabelledBatch:
        """x_U."""
        return self._stage.unlabelled(self.index).to(self._device)

    def augmented(
        self, batch: LabelledBatch | UnlabelledBatch, by: Augmentation, name: str
    ) -> Float[Tensor, "n C H W"]:
        """The images of a batch, augmented; the name decides the random draws."""
        return augment(batch.images, batch.ids, by, self.stream.child(name))

    def normal(self, name: str, count: int, size: int) -> Float[Tensor, "count size"]:
        """Standard normal numbers; the name decides them."""
        generator = self.stream.child(name).torch()
        return self.part.drawn(lambda shape: torch.randn(shape, generator=generator), (count, size)).to(
            self._device
        )

    def prior(
        self, nets: Nets, shares: Float[np.ndarray, " K"] | None = None
    ) -> tuple[Float[Tensor, "U Z"], Float[Tensor, "U K"]]:
        """z ~ N(0, I) and y, one-hot, for as many images as x_U has.

        Args:
            nets: give Z and K.
            shares: the probability of each class; ``None`` for equal ones.
        """
        count, k = len(self.unlabelled.images), nets.class_count
        generator = self.stream.child("prior classes").torch()

        def drawn(shape: tuple[int, ...]) -> Tensor:
            if shares is None:
                return torch.randint(k, shape, generator=generator)
            known = torch.from_numpy(shares).float()
            return torch.multinomial(known, shape[0], replacement=True, generator=generator)

        classes = self.part.drawn(drawn, (count,))
        return self.normal("prior", count, nets.latent_size), one_hot(classes, k).float().to(self._device)

    @property
    def graph(self) -> NeighbourGraph:
        """The neighbour graph of the pool.

        Raises:
            ValueError: the learner was given no pool.
        """
        if self._graph is None:
            raise ValueError("this learner was given no pool, so there is no neighbour graph")
        return self._graph

    @cached_property
    def neighbours(self) -> UnlabelledBatch:
        """One random neighbour of each of x_U; where it may not be trained on, the image itself."""
        found = self.graph.neighbour_batch(self.unlabelled.ids, self.stream.child("neighbours")).to(
            self._device
        )
        if self._stage.trainable is None:
            return found
        usable, own = np.isin(found.ids, self._stage.trainable), self.unlabelled
        kept = torch.from_numpy(usable).to(self._device)[:, None, None, None]
        return UnlabelledBatch(
            np.where(usable, found.ids, own.ids), torch.where(kept, found.images, own.images)
        )

    @cached_property
    def propagated_labels(self) -> Float[Tensor, "U K"]:
        """Class probabilities of x_U from the round's labels, propagated along the neighbour graph."""
        return self._propagated()(self.unlabelled.ids).to(self._device)

    def share_confident(self, margin: float) -> float:
        """The share of the whole pool whose propagated label has at least this margin."""
        return self._propagated().share_confident(margin)

    def linear_classes(self, images: Float[Tensor, "n C H W"]) -> Int[Tensor, " n"]:
        """The most probable classes by logistic regression on the labelled images, flattened; fitted once a round.

        Raises:
            ValueError: in pretraining.
        """
        if self._stage.linear is None:
            raise ValueError("there are no labels in pretraining")
        weights, bias = self._stage.linear()
        return (images.flatten(1) @ weights.T + bias).argmax(dim=1)

    def _propagated(self) -> PropagatedLabels:
        if self._stage.propagated is None:
            raise ValueError("there are no labels in pretraining")
        return self._stage.propagated()

    @property
    def class_shares(self) -> Float[np.ndarray, " K"]:
        """The share of each class among the labels."""
        if self._stage.class_shares is None:
            raise ValueError("there are no labels in pretraining")
        return self._stage.class_shares


# --- The learner -----------------------------------------------------------------------------------------------


class Engine(Learner):
    """Trains networks by the phases of a method.

    Args:
        method: what a training step does.
        settings: of the learner.
        task: images, classes, device, and the stream of the initial weights.
    """

    supplied_by_graph = frozenset({Need.PROPAGATED, Need.REPRESENTATION})
    """Outputs that come from the pool's neighbour graph, without any network."""

    _optimisers: NetOptimisers

    def __init__(self, method: Method, settings: LearnerSettings, task: Task) -> None:
        self._method = method
        self._settings = settings
        self._task = task
        self._pool: ImageSet | None = None
        self._graph: NeighbourGraph | None = None
        self._ood: Ids = NO_IDS
        self._propagated: Callable[[], PropagatedLabels] | None = None
        self._query_labels: LabelledSet | None = None
        self._pretrained: dict[str, Tensor] = {}
        self._parts = parts_of(settings, method.division(), task.group)
        self._initialise(0)

    def _initialise(self, round_number: int) -> None:
        stream = self._task.stream.child("initial weights", round_number)
        method = self._method
        self._nets = Nets.build(self._settings, self._task, stream, method.conditional, method.extra_networks)
        self._ema = Ema(self._nets, self._settings.training.average_decay)
        self._predictor = Predictor(self._nets, self._ema.modules, self._settings, self._task.device)
        self._optimisers = NetOptimisers(self._nets, self._settings)
        self._age = 0

    @property
    def name(self) -> str:
        """The method with its variants."""
        return self._settings.title

    @property
    def settings(self) -> LearnerSettings:
        """The learner's settings."""
        return self._settings

    @property
    def nets(self) -> Nets:
        """The networks being trained."""
        return self._nets

    @property
    def weight_count(self) -> int:
        """Numbers in all networks and their averages."""
        modules = self._modules().values()
        return sum(value.numel() for module in modules for value in module.state_dict().values())

    @property
    def supplies(self) -> frozenset[Need]:
        """What the networks can compute, and what comes from the neighbour graph."""
        return self._predictor.supplies | self.supplied_by_graph

    @property
    def steps_per_round(self) -> int:
        """Training steps of each round."""
        return self._settings.training.steps

    @property
    def pretraining_steps(self) -> int:
        """Training steps before the first query."""
        return self._settings.pretraining_steps

    # Data

    def set_pool(self, pool: ImageSet, stream: Stream) -> None:
        """Remember the pool; its neighbour graph is computed when it is first needed."""
        graph = self._settings.graph
        self._pool = pool
        self._graph = NeighbourGraph(
            pool,
            graph.compare,
            graph.components,
            self._settings.neighbours,
            self._symmetric,
            stream.child("neighbours"),
        )

    def set_labels(self, labelled: LabelledSet, ood: Ids = NO_IDS) -> None:
        """Remember the labels; they are propagated along the neighbour graph when that is first needed."""
        self._ood = ood
        self._query_labels = labelled
        self._propagated = self._propagate(labelled)

    def _propagate(self, labelled: LabelledSet) -> Callable[[], PropagatedLabels]:
        ood = self._ood
        return lambda: self._neighbour_graph.propagate(labelled, ood)

    @property
    def _neighbour_graph(self) -> NeighbourGraph:
        if self._graph is None:
            raise ValueError(f"'{self.name}' was given no pool")
        return self._graph

    @property
    def _symmetric(self) -> bool:
        return self._settings.networks.pixel_range is PixelRange.SYMMETRIC

    def _unlabelled_batches(
        self, images: ImageSet, stream: Stream, part: Part
    ) -> Callable[[int], UnlabelledBatch]:
        training = self._settings.training
        # A method that trains on labelled images alone never reads these batches.
        size = training.unlabelled_batch if isinstance(training, SemiSupervisedTraining) else 1
        batches = UnlabelledBatches(images, size, self._symmetric, stream.child("unlabelled"), part)
        return batches if self._on_processor else Ahead(batches, self._task.device)

    def _labelled_batches(
        self, labelled: LabelledSet, stream: Stream, part: Part
    ) -> Callable[[int], LabelledBatch]:
        size = self._settings.training.labelled_batch
        batches = LabelledBatches(labelled, size, self._symmetric, stream.child("labelled"), part)
        return batches if self._on_processor else Ahead(batches, self._task.device)

    @property
    def _on_processor(self) -> bool:
        return self._task.device.type == "cpu"

    # Training

    def start_pretraining(self, stream: Stream) -> None:
        """Take the whole pool as unlabelled images."""
        if not self.pretraining_steps:
            super().start_pretraining(stream)
        if self._pool is None:
            raise ValueError(f"'{self.name}' was given no pool")
        self._optimisers = NetOptimisers(self._nets, self._settings, self._optimisers.scale)
        batches = self._unlabelled_batches(self._pool, stream, WHOLE)
        self._stages = [Stage(self._method.pretraining_step, self.pretraining_steps, stream, batches)]

    def start_round(
        self, round_number: int, labelled: LabelledSet, unlabelled: ImageSet, stream: Stream
    ) -> None:
        """Take the round's data; optimisers start anew, networks too unless ``warm_start`` is set.

        Networks that start anew have their pretrained weights, where there was pretraining.
        """
        self._check_data(labelled)
        cold = not self._settings.training.warm_start
        if round_number == 0 and self.pretraining_steps and cold:
            self._pretrained = self._pretrained_state()
        if round_number > 0 and cold:
            scale = self._optimisers.scale
            self._initialise(round_number)
            self._optimisers.scale = scale
            self._load_modules(self._pretrained)
        if self.pretraining_steps and (round_number == 0 or cold):
            self._use_first_labels(labelled)
        self._optimisers = NetOptimisers(self._nets, self._settings, self._optimisers.scale)
        # Once everything is labelled, the labelled images serve as unlabelled ones, without their labels.
        rest = unlabelled if len(unlabelled) else labelled.images
        propagated, linear = self._propagate(labelled), cache(lambda: self._linear(labelled))
        # Images kept for validation are in neither set, and must not come back as neighbours.
        usable = np.union1d(labelled.ids, rest.ids)
        self._stages = [
            Stage(
                self._method.training_step,
                self.steps_per_round,
                stream,
                self._unlabelled_batches(rest, stream, part),
                self._labelled_batches(labelled, stream, part),
                propagated,
                usable,
                labelled.class_shares,
                linear,
                part,
            )
            for part in self._parts
        ]

    def _linear(self, labelled: LabelledSet) -> tuple[Tensor, Tensor]:
        """Weights and biases of logistic regression on labelled images, as networks see them."""
        images = gather(labelled.images, labelled.ids, self._symmetric).flatten(1).double().numpy()
        found = calibrated_logistic(images, labelled.classes, labelled.class_count)
        weights, bias = (torch.from_numpy(each).float().to(self._task.device) for each in found)
        return weights, bias

    def _check_data(self, labelled: LabelledSet) -> None:
        if len(labelled) == 0:
            raise BadInput(
                "Training needs at least one labelled image.", "Label some images, then train again."
            )
        if labelled.class_count != self._task.class_count:
            raise BadInput(
                f"The data have {labelled.class_count} classes, the networks of '{self.name}' "
                f"{self._task.class_count}.",
                "Make the learner with the data's number of classes.",
            )
        if labelled.images.shape != self._task.image_shape:
            raise BadInput(
                f"Images are {labelled.images.shape} (channels, height, width), the networks of '{self.name}' "
                f"take {self._task.image_shape}.",
                "Make the learner with the data's shape, or resize the images.",
            )

    def _use_first_labels(self, labelled: LabelledSet) -> None:
        clusters = self.predict(labelled.images, {Need.CLUSTERS}, self._task.stream).get(Need.CLUSTERS)
        found = FirstLabels(clusters.argmax(dim=1), torch.from_numpy(labelled.classes))
        for modules in (self._nets.modules, self._ema.modules):
            if modules:
                self._method.use_first_labels(modules[Net.DISCRIMINATOR], modules[Net.CLUSTERS], found)

    def step(self, index: int) -> StepLosses:
        """Run every phase once; a phase whose loss or gradient is not finite is skipped.

        With several parts a phase is evaluated on each before its networks move.
        """
        teach = self._ema.teach if self._ema.modules else None
        batches = [
            Batch(stage, index, self._age, self._task.device, self._graph, teach) for stage in self._stages
        ]
        steps = self._stages[0].steps
        for module in self._nets.modules.values():
            module.train()
        values: dict[str, Tensor] = {}
        skipped = []
        with batches[0].stream.child("layers").governs_torch():
            phases = [
                stage.step(self._nets, batch) for stage, batch in zip(self._stages, batches, strict=True)
            ]
            while (found := self._next_phase(phases)) is not None:
                if not self._optimisers.move(found.total, found.gradients, found.trains, index, steps):
                    skipped.append(found.name)
                values |= found.values
                values[f"total {found.name}"] = found.total
        self._age += 1
        self._ema.update(self._age)
        return StepLosses(_numbers(values), tuple(skipped))

    def _next_phase(self, phases: list[Iterator[Phase]]) -> Evaluated | None:
        """The next phase on the whole batch: the mean over the parts of all processes."""
        found = []
        for part, of_part in zip(self._parts, phases, strict=True):
            # Layers draw for the whole batch and use their part of it: the generator starts alike for each part.
            on_gpu = [torch.cuda.current_device()] if self._task.device.type == "cuda" else []
            last = part is self._parts[-1]
            with nullcontext() if last else torch.random.fork_rng(on_gpu), divided(part, self._task.group):
                found.append(self._evaluate(of_part))
        known = [each for each in found if each is not None]
        return mean_of(known).over(self._task.group) if known else None

    def _evaluate(self, phases: Iterator[Phase]) -> Evaluated | None:
        """The next phase on a part of the batch; in the precision of the settings."""
        with self._autocast():
            phase = next(phases, None)
            if phase is None:
                return None
            total = torch.zeros((), device=self._task.device)
            values = {}
            for term in phase.terms:
                if term.weight:
                    value = values[term.name] = term.compute()
                    total = total + term.weight * value
        # What a part kept for its gradient is freed before the next part is evaluated.
        gradients = self._optimisers.gradients(total, phase.trains, keep_graph=len(self._parts) == 1)
        values = {name: value.detach() for name, value in values.items()}
        return Evaluated(phase.name, phase.trains, total.detach(), values, gradients)

    @property
    def remark(self) -> str:
        """Which statistics are of a part of a batch, where parts are processed one after another."""
        return remark_on(self._settings, self._method.division(), self._nets.modules.values())

    def _autocast(self) -> torch.autocast:
        enabled = self._settings.training.precision == "bfloat16"
        return torch.autocast(self._task.device.type, torch.bfloat16, enabled=enabled)

    def halve_learning_rates(self) -> None:
        """Halve every learning rate for the rest of the run."""
        self._optimisers.scale /= 2

    def divide_logits(self, temperature: float) -> None:
        """See :meth:`aral.learners.interface.Learner.divide_logits`; of the averaged classifier, too."""
        for modules in (self._nets.modules, self._ema.modules):
            if modules:
                cast(Discriminator, modules[Net.DISCRIMINATOR]).divide_logits(temperature)

    # Prediction

    def predict(self, images: ImageSet, needs: Iterable[Need], stream: Stream) -> Predictions:
        """Outputs on images in eval mode, of the averaged classifier; E is conditioned on C(x).

        Raises:
            ValueError: an output needs a pool or labels that were not given.
        """
        wanted = frozenset(needs)
        of_networks = wanted - self.supplied_by_graph
        found = self._predictor.predict(images, of_networks, stream, self._query_labels)
        of_graph: dict[Need, Tensor] = {}
        if Need.REPRESENTATION in wanted:
            of_graph[Need.REPRESENTATION] = self._neighbour_graph.vectors(images.ids)
        if Need.PROPAGATED in wanted:
            if self._propagated is None:
                raise ValueError(f"'{self.name}' was given no labels to propagate")
            of_graph[Need.PROPAGATED] = self._propagated()(images.ids)
        return found.joined(of_graph)

    def diagnose(self, labelled: ImageSet, unlabelled: ImageSet) -> dict[str, float]:
        """See :meth:`aral.learners.prediction.Predictor.diagnose`; empty without an encoder."""
        return self._predictor.diagnose(labelled, unlabelled)

    def check_generated(self, labelled: LabelledSet, stream: Stream) -> dict[str, float]:
        """See :meth:`aral.learners.prediction.Predictor.check_generated`."""
        return self._predictor.check_generated(labelled, stream)

    def generate(self, classes: Int64[Tensor, " N"], stream: Stream) -> Float[Tensor, "N C H W"] | None:
        """See :meth:`aral.learners.interface.Learner.generate`."""
        return self._predictor.generate(classes, stream)

    def gallery(self, images: ImageSet, per_class: int, stream: Stream) -> Gallery | None:
        """Generated and reconstructed images, with the same z for every class of a column."""
        return self._predictor.gallery(images, per_class, stream)

    # State

    def _modules(self) -> dict[str, nn.Module]:
        trained = {str(net): module for net, module in self._nets.modules.items()}
        return trained | {f"ema.{net}": module for net, module in self._ema.modules.items()}

    def _pretrained_state(self) -> dict[str, Tensor]:
        """Copies of D̃ and the cluster heads, and of their averages."""
        state = {
            f"{prefix}.{name}": value.detach().clone()
            for prefix, module in self._modules().items()
            if prefix.removeprefix("ema.") in (Net.DISCRIMINATOR, Net.CLUSTERS)
            for name, value in module.state_dict().items()
        }
        return state | {"age": torch.tensor(self._age)}

    def _load_modules(self, state: Mapping[str, Tensor]) -> None:
        for prefix, module in self._modules().items():
            if part := below(state, prefix):
                module.load_state_dict(part)
        if state:
            self._age = int(state["age"])

    def state_dict(self) -> dict[str, Tensor]:
        """Networks, averages, moments of the optimisers, age, rate scale, and pretrained weights if needed again."""
        state = {
            f"{prefix}.{name}": value
            for prefix, module in self._modules().items()
            for name, value in module.state_dict().items()
        }
        state |= {f"optimiser.{name}": value for name, value in self._optimisers.state_dict().items()}
        state |= {f"pretrained.{name}": value for name, value in self._pretrained.items()}
        state["age"] = torch.tensor(self._age)
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore networks, averages and optimisers.

        Raises:
            BadInput: names or shapes do not belong to these networks.
        """
        try:
            for prefix, module in self._modules().items():
                module.load_state_dict(below(state, prefix))
            self._optimisers.load_state_dict(below(state, "optimiser"))
            self._age = int(state["age"])
        except (RuntimeError, KeyError) as error:
            raise BadInput(
                f"The checkpoint does not fit the networks of '{self.name}': {str(error)[:300]}",
                "Use the settings the checkpoint was made with (settings.json in its run folder).",
            ) from error
        self._pretrained = below(state, "pretrained")


def _numbers(values: Mapping[str, Float[Tensor, ""]]) -> dict[str, float]:
    """The values as numbers, in one transfer from the device."""
    if not values:
        return {}
    return dict(zip(values, torch.stack([value.float() for value in values.values()]).tolist(), strict=True))


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The part of a state whose names begin with ``prefix.``, without the prefix."""
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}


def classifier_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier in the state of a learner: the averaged D̃ with C where there is one; empty if there is none."""
    return below(state, f"ema.{Net.DISCRIMINATOR}") or below(state, Net.DISCRIMINATOR)
