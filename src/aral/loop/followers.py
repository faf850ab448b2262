"""One run by several processes: that of rank 0 leads, and what changes networks is done by all.

The leading process has the store, the oracle, the evaluation and the reports; its session drives a
:class:`LeadingLearner`, which tells the others to do the same before it does it. They hold no store and write nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aral.acquisition.interface import Need, Predictions
from aral.learners.interface import Gallery, Learner, StepLosses
from aral.loop.training import memory_failure
from aral.parallel import END, Group, Message
from aral.randomness import Stream
from aral.types import NO_IDS, Ids, ImageSet, LabelledSet

ROUND, STATE, HALVE, TEMPERATURE = "round", "state", "halve learning rates", "temperature"


class LeadingLearner(Learner):
    """The learner of the process of rank 0; predictions are its own, training is that of the whole group.

    Args:
        learner: newly made; the others have one with the same settings, stream and initial weights.
        group: the processes.
    """

    def __init__(self, learner: Learner, group: Group) -> None:
        self._learner = learner
        self._group = group
        self.stop_requested = False
        """Whether another process was asked to stop."""

    # What all processes do

    def start_round(
        self, round_number: int, labelled: LabelledSet, unlabelled: ImageSet, stream: Stream
    ) -> None:
        """Tell the others the ids and classes of the round, then start it."""
        document = {"number": round_number, "class count": labelled.class_count, "key": str(stream.key)}
        tensors = {
            "labelled": torch.from_numpy(labelled.ids),
            "classes": torch.from_numpy(labelled.classes),
            "unlabelled": torch.from_numpy(unlabelled.ids),
        }
        self._send(Message(ROUND, document, tensors))
        self._learner.start_round(round_number, labelled, unlabelled, stream)

    def step(self, index: int) -> StepLosses:
        """One step of all processes; the losses are means over them."""
        self.stop_requested |= self._group.send_number(index)
        return self._learner.step(index)

    def halve_learning_rates(self) -> None:
        """In all processes."""
        self._send(Message(HALVE))
        self._learner.halve_learning_rates()

    def divide_logits(self, temperature: float) -> None:
        """In all processes."""
        self._send(Message(TEMPERATURE, {"value": temperature}))
        self._learner.divide_logits(temperature)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """In all processes: a checkpoint is read by this one alone."""
        self._send(Message(STATE, tensors=state))
        self._learner.load_state_dict(state)

    def _send(self, message: Message) -> None:
        self.stop_requested |= self._group.send(message)

    # What this process does alone

    @property
    def name(self) -> str:
        """See :class:`Learner`."""
        return self._learner.name

    @property
    def supplies(self) -> frozenset[Need]:
        """See :class:`Learner`."""
        return self._learner.supplies

    @property
    def steps_per_round(self) -> int:
        """See :class:`Learner`."""
        return self._learner.steps_per_round

    @property
    def weight_count(self) -> int:
        """See :class:`Learner`."""
        return self._learner.weight_count

    @property
    def remark(self) -> str:
        """See :class:`Learner`."""
        return self._learner.remark

    def set_pool(self, pool: ImageSet, stream: Stream) -> None:
        """For queries on the neighbour graph, which only this process makes."""
        self._learner.set_pool(pool, stream)

    def set_labels(self, labelled: LabelledSet, ood: Ids = NO_IDS) -> None:
        """For queries, likewise."""
        self._learner.set_labels(labelled, ood)

    def predict(self, images: ImageSet, needs: Iterable[Need], stream: Stream) -> Predictions:
        """See :class:`Learner`."""
        return self._learner.predict(images, needs, stream)

    def diagnose(self, labelled: ImageSet, unlabelled: ImageSet) -> dict[str, float]:
        """See :class:`Learner`."""
        return self._learner.diagnose(labelled, unlabelled)

    def check_generated(self, labelled: LabelledSet, stream: Stream) -> dict[str, float]:
        """See :class:`Learner`."""
        return self._learner.check_generated(labelled, stream)

    def generate(self, classes: Int64[Tensor, " N"], stream: Stream) -> Float[Tensor, "N C H W"] | None:
        """See :class:`Learner`."""
        return self._learner.generate(classes, stream)

    def gallery(self, images: ImageSet, per_class: int, stream: Stream) -> Gallery | None:
        """See :class:`Learner`."""
        return self._learner.gallery(images, per_class, stream)

    def state_dict(self) -> dict[str, Tensor]:
        """The state of this process, which all have."""
        return self._learner.state_dict()


def follow(
    group: Group, learner: Learner, pool: ImageSet, stopping: Callable[[], bool] = lambda: False
) -> None:
    """Train as the process of rank 0 says until it ends; nothing is written.

    Args:
        group: the processes; this one's rank is above 0.
        learner: newly made, with the settings and the stream of the leading process's.
        pool: all images, the same as there.
        stopping: true asks the leading process to stop.

    Raises:
        RunFailed: the leading process has ended unexpectedly, or memory is too small.
    """
    while True:
        message = group.receive(stopping())
        if isinstance(message, int):
            with memory_failure(f"process {group.rank}"):
                learner.step(message)
        elif message.name == END:
            return
        elif message.name == ROUND:
            labelled, classes, unlabelled = (
                message.tensors[name].numpy() for name in ("labelled", "classes", "unlabelled")
            )
            document = message.document
            found = LabelledSet(pool.subset(labelled), classes.astype(np.int64), int(document["class count"]))
            stream = Stream(int(document["key"]))
            learner.start_round(int(document["number"]), found, pool.subset(unlabelled), stream)
        elif message.name == STATE:
            learner.load_state_dict(dict(message.tensors))
        elif message.name == HALVE:
            learner.halve_learning_rates()
        elif message.name == TEMPERATURE:
            learner.divide_logits(float(message.document["value"]))
        else:
            raise ValueError(f"no message of this name: {message.name}")
