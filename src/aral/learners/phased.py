"""The one learner behind all: networks and a list of phases."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor

from aral.acquisition.interface import Need, Predictions
from aral.data.batches import LabelledBatches, UnlabelledBatches
from aral.errors import BadInput
from aral.learners.blueprint import Blueprint
from aral.learners.interface import Gallery, Learner, StepLosses
from aral.learners.nets import Nets
from aral.learners.optimisers import NetOptimisers
from aral.learners.prediction import Predictor
from aral.learners.step import Step
from aral.learners.terms import Phase
from aral.networks.interface import PixelRange
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

AVERAGE = "average"


class PhasedLearner(Learner):
    """Trains networks by running its phases, one after another, in every step.

    Args:
        name: the learner's name in tables.
        blueprint: the networks.
        phases: what a step does; each phase trains its own networks and no others.
        stream: decides the initial weights.
    """

    def __init__(self, name: str, blueprint: Blueprint, phases: tuple[Phase, ...], stream: Stream) -> None:
        self._name = name
        self._blueprint = blueprint
        self._phases = phases
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
        """Probabilities and features always; latents and sampler logits with E and S."""
        return self._predictor.supplies

    @property
    def steps_per_round(self) -> int:
        """Training steps of each round."""
        return self._model.training.steps

    def _initialise(self, round_number: int) -> None:
        self._nets = self._blueprint.build(self._stream.child("initial weights", round_number))
        discriminator = self._nets.discriminator
        self._average = deepcopy(discriminator) if self._model.training.average_decay else discriminator
        if self._average is not discriminator:
            self._average.requires_grad_(False)
        self._predictor = Predictor(self._nets, self._average, self._model, self._blueprint.device)
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
        self._check_fit(labelled)
        training = self._model.training
        if round_number > 0 and not training.warm_start:
            self._initialise(round_number)
        self._optimisers = NetOptimisers(self._nets, self._model, self._optimisers.scale)
        symmetric = self._model.networks.pixel_range is PixelRange.SYMMETRIC
        self._round_stream = stream
        self._labelled = LabelledBatches(
            labelled, training.labelled_batch, symmetric, stream.child("labelled")
        )
        # Once everything is labelled, the labelled images serve as unlabelled ones, without their labels.
        rest = unlabelled if len(unlabelled) else labelled.images
        self._unlabelled = UnlabelledBatches(
            rest, training.unlabelled_batch, symmetric, stream.child("unlabelled")
        )

    def _check_fit(self, labelled: LabelledSet) -> None:
        """Refuse data that the networks were not built for."""
        if labelled.class_count != self._blueprint.class_count:
            raise BadInput(
                f"The data have {labelled.class_count} classes, the networks of '{self._name}' "
                f"{self._blueprint.class_count}.",
                "Make the learner with the data's count of classes.",
            )
        if labelled.images.shape != self._blueprint.image_shape:
            raise BadInput(
                f"Images are {labelled.images.shape} (channels, height, width), the networks of '{self._name}' "
                f"take {self._blueprint.image_shape}.",
                "Make the learner with the data's shape, or resize the images.",
            )

    def step(self, index: int) -> StepLosses:
        """Run every phase once; a phase whose loss or gradient is not finite is skipped."""
        device = self._blueprint.device
        stream = self._round_stream.child("step", index)
        step = Step(
            self._nets,
            lambda: self._labelled(index).to(device),
            lambda: self._unlabelled(index).to(device),
            stream,
            self._age,
            self._blueprint.encoded,
            self._model.self_training,
        )
        for module in self._nets.modules.values():
            module.train()
        values: dict[str, float] = {}
        skipped = []
        with stream.child("layers").governs_torch():
            for phase in self._phases:
                losses, done = self._run(phase, step, index / max(1, self.steps_per_round))
                values |= losses
                if not done:
                    skipped.append(phase.name)
        self._age += 1
        self._follow_average()
        return StepLosses(values, tuple(skipped))

    def _run(self, phase: Phase, step: Step, progress: float) -> tuple[dict[str, float], bool]:
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
        done = self._optimisers.descend(total, phase.trains, progress)
        numbers = {name: float(value.detach()) for name, value in values.items()}
        return numbers | {f"total {phase.name}": float(total.detach())}, done

    @torch.no_grad()
    def _follow_average(self) -> None:
        discriminator = self._nets.discriminator
        if self._average is discriminator:
            return
        # A young average forgets its random start sooner than the final decay would.
        decay = min(self._model.training.average_decay, self._age / (self._age + 10))
        mean, newest = self._average.state_dict(), discriminator.state_dict()
        for name, value in mean.items():
            if value.is_floating_point():
                value.lerp_(newest[name], 1 - decay)
            else:
                value.copy_(newest[name])

    def slow_down(self) -> None:
        """Halve every learning rate for the rest of the run."""
        self._optimisers.scale /= 2

    def predict(self, images: ImageSet, needs: Iterable[Need], stream: Stream) -> Predictions:
        """Outputs on images in eval mode, classifier averaged; E is conditioned on C(x)."""
        return self._predictor.predict(images, frozenset(needs), stream)

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
        if self._average is not self._nets.discriminator:
            state |= {f"{AVERAGE}.{name}": value for name, value in self._average.state_dict().items()}
        state |= {f"optimiser.{name}": value for name, value in self._optimisers.state_dict().items()}
        state["age"] = torch.tensor(self._age)
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore networks, average and optimisers.

        Raises:
            BadInput: names or shapes do not belong to these networks.
        """
        modules = {str(net): module for net, module in self._nets.modules.items()}
        if self._average is not self._nets.discriminator:
            modules[AVERAGE] = self._average
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
