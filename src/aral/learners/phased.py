"""The one learner behind all: networks and a list of phases."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from aral.acquisition.interface import Need, Predictions
from aral.data.batches import LabelledBatches, UnlabelledBatches
from aral.errors import BadInput
from aral.learners.acquaintance import Acquaintance
from aral.learners.averages import Averages
from aral.learners.blueprint import Blueprint
from aral.learners.interface import Gallery, Learner, StepLosses
from aral.learners.naming import name_groups
from aral.learners.nets import Nets
from aral.learners.optimisers import NetOptimisers
from aral.learners.prediction import Predictor
from aral.learners.spec import Net
from aral.learners.stage import Stage
from aral.learners.step import Step
from aral.learners.terms import Phase
from aral.networks.interface import PixelRange
from aral.randomness import Stream
from aral.types import NO_IDS, Ids, ImageSet, LabelledSet


class PhasedLearner(Learner):
    """Trains networks by running its phases, one after another, in every step.

    Args:
        name: the learner's name in tables.
        blueprint: the networks.
        phases: what a step does; each phase trains its own networks and no others.
        stream: decides the initial weights.
        before_labels: what a step does before the first query, on the pool alone.
    """

    _optimisers: NetOptimisers

    def __init__(
        self,
        name: str,
        blueprint: Blueprint,
        phases: tuple[Phase, ...],
        stream: Stream,
        before_labels: tuple[Phase, ...] = (),
    ) -> None:
        self._name = name
        self._blueprint = blueprint
        self._phases = phases
        self._before_labels = before_labels
        self._known = Acquaintance(name)
        self._stream = stream
        self._model = blueprint.model
        self._age = 0
        self._initialise(0)

    @property
    def name(self) -> str:
        """The learner's name in tables."""
        return self._name

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What a step does."""
        return self._phases

    @property
    def nets(self) -> Nets:
        """The networks being trained."""
        return self._nets

    @property
    def supplies(self) -> frozenset[Need]:
        """Probabilities, features and what the graph knows always; latents and sampler logits with E and S."""
        return self._predictor.supplies | self._known.supplies

    @property
    def steps_per_round(self) -> int:
        """Training steps of each round."""
        return self._model.training.steps

    @property
    def pretraining_steps(self) -> int:
        """Training steps before the first query."""
        return self._model.partitioning.steps if self._before_labels else 0

    def set_pool(self, pool: ImageSet, stream: Stream) -> None:
        """Remember the pool; who neighbours whom is found out when it is first needed."""
        settings = self._model.partitioning
        self._known.set_pool(pool, settings, self._symmetric, stream.child("neighbours"))

    def set_labels(self, labelled: LabelledSet, ood: Ids = NO_IDS) -> None:
        """Let them spread along the graph of neighbours, once somebody asks."""
        self._known.set_labels(labelled, ood)

    def start_pretraining(self, stream: Stream) -> None:
        """Take the whole pool as unlabelled images."""
        if not self.pretraining_steps:
            super().start_pretraining(stream)
        images = self._known.pool
        self._optimisers = NetOptimisers(self._nets, self._model, self._optimisers.scale)
        self._stage = Stage(
            self._before_labels,
            self.pretraining_steps,
            stream,
            None,
            self._unlabelled_batches(images, stream),
        )

    def _initialise(self, round_number: int) -> None:
        self._nets = self._blueprint.build(self._stream.child("initial weights", round_number))
        self._averages = Averages(self._nets, self._model.training.average_decay)
        self._predictor = Predictor(self._nets, self._averages.modules, self._model, self._blueprint.device)
        self._optimisers = NetOptimisers(self._nets, self._model)
        self._age = 0

    def start_round(
        self, round_number: int, labelled: LabelledSet, unlabelled: ImageSet, stream: Stream
    ) -> None:
        """Take the round's data; optimisers start anew, networks too unless ``warm_start`` is set."""
        if len(labelled) == 0:
            raise BadInput(
                "Training needs at least one labelled image.", "Label some images, then train again."
            )
        self._blueprint.check_fit(labelled, self._name)
        training = self._model.training
        if round_number == 0 and self.pretraining_steps:
            self._name_groups(labelled)
        if round_number > 0 and not training.warm_start:
            self._initialise(round_number)
        self._optimisers = NetOptimisers(self._nets, self._model, self._optimisers.scale)
        # Once everything is labelled, the labelled images serve as unlabelled ones, without their labels.
        rest = unlabelled if len(unlabelled) else labelled.images
        self._stage = Stage(
            self._phases,
            self.steps_per_round,
            stream,
            LabelledBatches(labelled, training.labelled_batch, self._symmetric, stream.child("labelled")),
            self._unlabelled_batches(rest, stream),
            self._known.spreading(labelled),
            # Images kept for validation are in neither, and must not come back as somebody's neighbours.
            np.union1d(labelled.ids, rest.ids),
            labelled.class_shares,
        )

    def _name_groups(self, labelled: LabelledSet) -> None:
        """Let C begin with what the groups know."""
        groups = self.predict(labelled.images, {Need.CLUSTERS}, self._stream).get(Need.CLUSTERS).argmax(dim=1)
        named = torch.from_numpy(labelled.classes)
        for modules in (self._nets.modules, self._averages.modules):
            if modules:
                name_groups(modules[Net.DISCRIMINATOR], modules[Net.PARTITION], groups, named)

    def _unlabelled_batches(self, images: ImageSet, stream: Stream) -> UnlabelledBatches:
        size = self._model.training.unlabelled_batch
        return UnlabelledBatches(images, size, self._symmetric, stream.child("unlabelled"))

    @property
    def _symmetric(self) -> bool:
        return self._model.networks.pixel_range is PixelRange.SYMMETRIC

    def step(self, index: int) -> StepLosses:
        """Run every phase once; a phase whose loss or gradient is not finite is skipped."""
        stage = self._stage
        stream = stage.stream.child("step", index)
        step = self._new_step(stage, index, stream)
        for module in self._nets.modules.values():
            module.train()
        values: dict[str, float] = {}
        skipped = []
        with stream.child("layers").governs_torch():
            for phase in stage.phases:
                if index % phase.every:
                    continue
                losses, done = self._run(phase, step, index, stage.steps)
                values |= losses
                if not done:
                    skipped.append(phase.name)
        self._age += 1
        self._averages.follow(self._age)
        return StepLosses(values, tuple(skipped))

    def _new_step(self, stage: Stage, index: int, stream: Stream) -> Step:
        device = self._blueprint.device

        return Step(
            self._nets,
            lambda: stage.labelled_batch(index).to(device),
            lambda: stage.unlabelled(index).to(device),
            stream,
            self._age,
            self._blueprint.encoded,
            self._model.augmented(before_labels=stage.labelled is None),
            self._known.neighbour_graph,
            stage.spread,
            stage.trained_on,
            self._averages.label if self._model.self_training.averaged else None,
            stage.class_shares,
        )

    def _run(self, phase: Phase, step: Step, index: int, steps: int) -> tuple[dict[str, float], bool]:
        view = phase.view(step)
        values = {}
        with torch.autocast(
            self._blueprint.device.type, torch.bfloat16, enabled=self._model.training.precision == "bfloat16"
        ):
            total = torch.zeros((), device=self._blueprint.device)
            for term in phase.terms:
                weight = term.weight * term.ramp.at(step.age)
                if weight:
                    value = term.compute(view)
                    values[term.name] = value
                    total = total + weight * value
        done = self._optimisers.descend(total, phase.trains, index, steps)
        numbers = {name: float(value.detach()) for name, value in values.items()}
        return numbers | {f"total {phase.name}": float(total.detach())}, done

    def halve_learning_rates(self) -> None:
        """Halve every learning rate for the rest of the run."""
        self._optimisers.scale /= 2

    def predict(self, images: ImageSet, needs: Iterable[Need], stream: Stream) -> Predictions:
        """Outputs on images in eval mode, classifier averaged; E is conditioned on C(x)."""
        wanted = frozenset(needs)
        found = self._predictor.predict(images, wanted - self._known.supplies, stream)
        return self._known.complete(found, wanted)

    def diagnose(self, labelled: ImageSet, unlabelled: ImageSet) -> dict[str, float]:
        """See :meth:`aral.learners.prediction.Predictor.diagnose`; empty without an encoder."""
        return self._predictor.diagnose(labelled, unlabelled)

    def gallery(self, images: ImageSet, per_class: int, stream: Stream) -> Gallery | None:
        """Generated and reconstructed pictures, with the same z for every class of a column."""
        return self._predictor.gallery(images, per_class, stream)

    def state_dict(self) -> dict[str, Tensor]:
        """Networks, averaged classifier, moments of the optimisers, age and rate scale."""
        state = {
            f"{net}.{name}": value
            for net, module in self._nets.modules.items()
            for name, value in module.state_dict().items()
        }
        state |= self._averages.state_dict()
        state |= {f"optimiser.{name}": value for name, value in self._optimisers.state_dict().items()}
        state["age"] = torch.tensor(self._age)
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore networks, average and optimisers.

        Raises:
            BadInput: names or shapes do not belong to these networks.
        """
        modules = {str(net): module for net, module in self._nets.modules.items()}
        modules |= self._averages.named
        try:
            for prefix, module in modules.items():
                module.load_state_dict(_below(state, prefix))
            self._optimisers.load_state_dict(_below(state, "optimiser"))
            self._age = int(state["age"])
        except (RuntimeError, KeyError) as error:
            raise BadInput(
                f"The checkpoint does not fit the networks of '{self._name}': {str(error)[:300]}",
                "Use the settings the checkpoint was made with (settings.json in its run folder).",
            ) from error


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
