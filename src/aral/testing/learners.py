"""A learner that learns nothing and gives planted outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aral.acquisition import Need, Predictions
from aral.learners import Gallery, Learner, StepLosses
from aral.randomness import Stream
from aral.types import NO_IDS, Ids, ImageSet, LabelledSet


class FakeLearner(Learner):
    """Gives planted outputs by image id and records every call.

    Args:
        class_count: K.
        sampler_logit: S of an image, by id.
        probabilities: class probabilities by ids, N×K; uniform if left out.
        steps: training steps a round.
        troubled_steps: steps, counted over everything, that report a skipped phase.
        pretraining_steps: training steps before the first query.
        clusters: cluster probabilities by ids, N×G; one cluster if left out.
    """

    def __init__(
        self,
        class_count: int,
        sampler_logit: Callable[[int], float] = float,
        probabilities: Callable[[Int64[Tensor, " N"]], Float[Tensor, "N K"]] | None = None,
        steps: int = 2,
        troubled_steps: frozenset[int] = frozenset(),
        pretraining_steps: int = 0,
        clusters: Callable[[Int64[Tensor, " N"]], Float[Tensor, "N G"]] | None = None,
    ) -> None:
        self.class_count = class_count
        self.calls: list[str] = []
        self.labelled: list[LabelledSet] = []
        self.unlabelled: list[ImageSet] = []
        self.ood: list[Ids] = []
        self.steps_taken = 0
        self.rate = 1.0
        self._sampler_logit = sampler_logit
        self._probabilities = probabilities
        self._steps = steps
        self._troubled = troubled_steps
        self._pretraining_steps = pretraining_steps
        self._clusters = clusters

    @property
    def name(self) -> str:
        """The learner's name."""
        return "fake"

    @property
    def supplies(self) -> frozenset[Need]:
        """Everything."""
        return frozenset(Need)

    @property
    def steps_per_round(self) -> int:
        """As given."""
        return self._steps

    @property
    def pretraining_steps(self) -> int:
        """As given."""
        return self._pretraining_steps

    def set_pool(self, pool: ImageSet, stream: Stream) -> None:
        """Record the call."""
        self.calls.append(f"set pool of {len(pool)} images")

    def set_labels(self, labelled: LabelledSet, ood: Ids = NO_IDS) -> None:
        """Record the out-of-distribution images."""
        self.ood.append(ood)

    def start_pretraining(self, stream: Stream) -> None:
        """Record the call."""
        if not self._pretraining_steps:
            super().start_pretraining(stream)
        self.calls.append("start pretraining")

    def start_round(
        self, round_number: int, labelled: LabelledSet, unlabelled: ImageSet, stream: Stream
    ) -> None:
        """Record the data."""
        self.calls.append(f"start round {round_number}")
        self.labelled.append(labelled)
        self.unlabelled.append(unlabelled)

    def step(self, index: int) -> StepLosses:
        """Count."""
        self.steps_taken += 1
        skipped = ("D",) if self.steps_taken in self._troubled else ()
        return StepLosses({"total D": 1.0}, skipped)

    def halve_learning_rates(self) -> None:
        """Halve the recorded rate."""
        self.rate /= 2

    def predict(self, images: ImageSet, needs: Iterable[Need], stream: Stream) -> Predictions:
        """Planted outputs; features and latents are the id itself, one synthesised."""
        ids = torch.from_numpy(images.ids)
        uniform = torch.full((len(images), self.class_count), 1 / self.class_count)
        probabilities = uniform if self._probabilities is None else self._probabilities(ids)
        number = ids.float()[:, None]
        logits = torch.tensor([self._sampler_logit(int(index)) for index in images.ids])
        return Predictions(
            images.ids,
            {
                Need.PROBABILITIES: probabilities,
                Need.MC_PROBABILITIES: probabilities[:, None].repeat(1, 3, 1),
                Need.FEATURES: number,
                Need.LATENTS: number,
                Need.SAMPLER_LOGITS: logits.float(),
                Need.SYNTHESISED: number[:1],
                Need.CLUSTERS: number.new_ones(len(images), 1)
                if self._clusters is None
                else self._clusters(ids),
                Need.REPRESENTATION: number,
                Need.MIXING_CHANGES: torch.zeros(len(images), 5, dtype=torch.int64),
                Need.DROPPED_CLASSES: probabilities.argmax(dim=1, keepdim=True).repeat(1, 3),
            },
        )

    def diagnose(self, labelled: ImageSet, unlabelled: ImageSet) -> dict[str, float]:
        """Healthy."""
        return {"latent std": 1.0, "latent KL": 5.0, "sampler AUC": 0.7}

    def gallery(self, images: ImageSet, per_class: int, stream: Stream) -> Gallery | None:
        """Nothing."""
        return None

    def state_dict(self) -> dict[str, Tensor]:
        """The count of steps."""
        return {"steps": torch.tensor(self.steps_taken), "rate": torch.tensor(self.rate)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the count."""
        self.calls.append("load")
        self.steps_taken = int(state["steps"])
        self.rate = float(state["rate"])
