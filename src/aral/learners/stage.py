"""What a learner trains on for a stretch of steps: a round, or the time before the first label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from aral.data.batches import LabelledBatches, UnlabelledBatches
from aral.learners.terms import Phase
from aral.randomness import Stream
from aral.representations.graph import PropagatedLabels
from aral.types import Ids, LabelledBatch


@dataclass(frozen=True)
class Stage:
    """A stretch of training.

    Attributes:
        phases: what each step does.
        steps: how many there are.
        stream: decides everything random in them.
        labelled: the labelled batches; ``None`` before the first label.
        unlabelled: the unlabelled batches.
        spread: gives what the labels say of the pool along its graph; ``None`` before the first label.
        trained_on: ids of the images that may be trained on; ``None``: the whole pool.
        class_shares: how frequent each class may be; ``None`` before the first label.
    """

    phases: tuple[Phase, ...]
    steps: int
    stream: Stream
    labelled: LabelledBatches | None
    unlabelled: UnlabelledBatches
    spread: Callable[[], PropagatedLabels] | None = None
    trained_on: Ids | None = None
    class_shares: Float[np.ndarray, " K"] | None = None

    def labelled_batch(self, index: int) -> LabelledBatch:
        """That of a step.

        Raises:
            ValueError: there are no labels yet.
        """
        if self.labelled is None:
            raise ValueError("there are no labels yet")
        return self.labelled(index)
