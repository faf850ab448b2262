"""Learners on planted data, and one training step of a method taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from aral.data import DataSet
from aral.data.batches import LabelledBatches, UnlabelledBatches
from aral.learners import Aral, Batch, Engine, LearnerSettings, Method, Net, Nets, Phase, Task
from aral.learners.bgadl import Bgadl
from aral.learners.engine import Stage
from aral.learners.fixmatch import FixMatch
from aral.learners.graph_ssl import GraphSsl
from aral.learners.no_co_training import NoCoTraining
from aral.learners.optimisers import NetOptimisers
from aral.learners.pseudo_label import PseudoLabel
from aral.learners.supervised import Supervised
from aral.learners.vaal import Vaal
from aral.networks.interface import PixelRange
from aral.randomness import Stream
from aral.representations.graph import NeighbourGraph, PropagatedLabels
from aral.testing import planted_data
from aral.types import ImageSet, LabelledSet

METHODS: dict[str, Callable[..., Method]] = {
    "aral": Aral,
    "bgadl": Bgadl,
    "fixmatch": FixMatch,
    "graph-ssl": GraphSsl,
    "no-co-training": NoCoTraining,
    "pseudo-label": PseudoLabel,
    "supervised": lambda settings: Supervised(settings.weight),
    "vaal": Vaal,
}


@pytest.fixture(scope="session")
def data() -> DataSet:
    """60 images of three classes, in turn by id."""
    return planted_data()


Labels = Callable[..., LabelledSet]
Start = Callable[..., Engine]


@pytest.fixture
def labels(data: DataSet) -> Labels:
    """Labels of images of a pool: the class is the id modulo 3."""

    def made(ids: Sequence[int] = range(6), pool: ImageSet = data.pool) -> LabelledSet:
        chosen = np.array(sorted(ids), dtype=np.int64)
        return LabelledSet(pool.subset(chosen), chosen % 3, 3)

    return made


@pytest.fixture
def start(data: DataSet, labels: Labels) -> Start:
    """A learner that has the pool and has started a round on the labels of the first six images."""

    def started(
        settings: LearnerSettings,
        pool: ImageSet = data.pool,
        round_number: int | None = 0,
        ids: Sequence[int] = range(6),
    ) -> Engine:
        learner = settings.build(Task(pool.shape, 3, Stream.root(1)))
        assert isinstance(learner, Engine)
        learner.set_pool(pool, Stream.root(3))
        if round_number is None:
            learner.start_pretraining(Stream.root(4))
        else:
            known = labels(ids, pool)
            learner.start_round(round_number, known, pool.without(known.ids), Stream.root(2))
        return learner

    return started


@dataclass
class OneStep:
    """A training step of a method: its networks, its batch, and its phases one by one."""

    settings: LearnerSettings
    method: Method
    nets: Nets
    batch: Batch
    stage: Stage

    def phases(self) -> Iterator[Phase]:
        """Each phase before its networks move; they have moved when the next one is asked for."""
        optimisers = NetOptimisers(self.nets, self.settings)
        for phase in self.stage.step(self.nets, self.batch):
            yield phase
            terms = [term.weight * term.compute() for term in phase.terms if term.weight]
            assert optimisers.step(sum(terms, torch.zeros(())), phase.trains, 0, 5)

    def values(self, phase: Phase) -> dict[str, float]:
        """The unweighted terms that have a weight."""
        return {term.name: float(term.compute().detach()) for term in phase.terms if term.weight}

    def moved(self, before: dict[Net, list[Tensor]]) -> set[Net]:
        """The networks whose weights differ from before."""
        return {
            net
            for net, module in self.nets.modules.items()
            if any(not torch.equal(a, b) for a, b in zip(before[net], module.parameters(), strict=True))
        }

    def weights(self) -> dict[Net, list[Tensor]]:
        """Copies of all weights by network."""
        return {
            net: [parameter.detach().clone() for parameter in module.parameters()]
            for net, module in self.nets.modules.items()
        }

    def reached(self, value: Tensor) -> set[Net]:
        """The networks that get a gradient of a value."""
        found = set()
        for net, module in self.nets.modules.items():
            gradients = torch.autograd.grad(
                value, list(module.parameters()), allow_unused=True, retain_graph=True
            )
            if any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients):
                found.add(net)
        return found


@pytest.fixture
def one_step(data: DataSet, labels: Labels) -> Callable[..., OneStep]:
    """Makes a step that starts from new networks in training mode."""

    def made(
        settings: LearnerSettings,
        pool: ImageSet = data.pool,
        pretraining: bool = False,
        age: int = 10,
        teach: Callable[[Tensor], Tensor] | None = None,
        propagated: PropagatedLabels | None = None,
    ) -> OneStep:
        method = METHODS[settings.name](settings)
        task = Task(pool.shape, 3, Stream.root(1))
        nets = Nets.build(settings, task, Stream.root(1), method.conditional, method.extra_networks)
        for module in nets.modules.values():
            module.train()
        symmetric = settings.networks.pixel_range is PixelRange.SYMMETRIC
        graph = NeighbourGraph(
            pool, settings.graph.compare, 50, settings.neighbours, symmetric, Stream.root(3)
        )
        known, training = labels(pool=pool), settings.training
        size = getattr(training, "unlabelled_batch", 1)
        rest = pool if pretraining else pool.without(known.ids)
        unlabelled = UnlabelledBatches(rest, size, symmetric, Stream.root(2))
        if pretraining:
            stage = Stage(method.pretraining_step, 5, Stream.root(2), unlabelled)
        else:
            stage = Stage(
                method.training_step,
                5,
                Stream.root(2),
                unlabelled,
                LabelledBatches(known, training.labelled_batch, symmetric, Stream.root(2)),
                lambda: propagated or graph.propagate(known),
                pool.ids,
                known.class_shares,
            )
        batch = Batch(stage, 0, age, torch.device("cpu"), graph, teach)
        return OneStep(settings, method, nets, batch, stage)

    return made
