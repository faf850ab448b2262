"""Validation: a share of the labels is kept from training, to find the best weights without the test set.

These labels count against the budget like any others: see docs/decisions/validation-share.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from aral.errors import BadInput
from aral.learners import checkpoints
from aral.learners.evaluation import evaluate
from aral.learners.interface import Learner
from aral.loop.observer import Observer
from aral.loop.run_store import Store
from aral.loop.training import report_event
from aral.plural import counted
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

DOCUMENT = "validation set"
FOLDER = "best"
ACCURACY = "validation accuracy"


@dataclass(frozen=True)
class Validation:
    """How many labels are kept for validation, and how often the weights are validated.

    Attributes:
        share: the part of all labels, in (0, 0.5].
        every: training steps between two validations; the last step of a round is always validated.
    """

    share: float
    every: int


class Validator:
    """Measures the accuracy on the validation images during training and saves the best weights.

    Args:
        validation: share and pace.
        store: of the run; the best weights of each round are in its folder, in ``best/round-NNN``.
        learner: is validated.
        pool: all images.
        class_count: K.
        stream: decides which images are kept; the same for all methods of a seed.
        observer: is told of events.
    """

    def __init__(
        self,
        validation: Validation,
        store: Store,
        learner: Learner,
        pool: ImageSet,
        class_count: int,
        stream: Stream,
        observer: Observer,
    ) -> None:
        self._validation = validation
        self._store = store
        self._learner = learner
        self._pool = pool
        self._class_count = class_count
        self._stream = stream
        self._observer = observer
        self._round = -1
        self._images: LabelledSet | None = None
        self._best: float | None = None

    def is_kept(self, ids: Int64[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
        """Whether each image is for validation: a function of its id, so it is the same in all rounds."""
        return self._stream.uniform(ids) < self._validation.share

    def record_images(
        self, number: int, ids: Int64[np.ndarray, " N"], classes: Int64[np.ndarray, " N"]
    ) -> Int64[np.ndarray, " n"]:
        """Record a round's validation set.

        Returns:
            The ids that are left to train on.

        Raises:
            BadInput: none is left.
        """
        kept = self.is_kept(ids)
        if kept.all():
            raise BadInput(
                f"Of {counted(ids.size, 'labelled image')} of round {number} all are kept for validation.",
                "Lower rounds.validation_share, or ask for more labels: --set rounds.query_size=20",
            )
        body = {"ids": ids[kept].tolist(), "classes": classes[kept].tolist()}
        self._store.record_document(number, DOCUMENT, body)
        return ids[~kept]

    def images(self, number: int) -> LabelledSet:
        """The validation images of a round, with their classes; may be empty."""
        body = self._store.document(number, DOCUMENT)
        assert isinstance(body, dict)
        ids, classes = (np.array(body[key], dtype=np.int64) for key in ("ids", "classes"))
        return LabelledSet(self._pool.subset(ids), classes, self._class_count)

    def after_step(self, number: int, step: int, steps: int) -> None:
        """Validate if this step is due; of equally good weights the first are kept.

        The best weights are on the disk before the checkpoint that follows, and a repeated training measures
        the same values again, so a kill at any moment changes nothing.
        """
        if step % self._validation.every and step != steps:
            return
        self._enter(number)
        if self._images is None or not len(self._images):
            return
        accuracy = evaluate(self._learner, self._images).accuracy
        self._store.record_metrics(number, step, {ACCURACY: accuracy})
        if self._best is None or accuracy > self._best:
            document = {"round": number, "step": step, "accuracy": accuracy}
            checkpoints.save(self._store.folder / FOLDER, _name(number), self._learner.state_dict(), document)
            checkpoints.prune(self._store.folder / FOLDER, {_name(number)})
            self._best = accuracy

    def metrics(self, number: int, test: LabelledSet) -> dict[str, float]:
        """Test accuracy with the best weights of a round; the learner is left as it was.

        Returns:
            ``accuracy at best validation``, ``best validation accuracy``, both in [0, 1], and ``best
            validation step``; nothing if the round had no validation image.
        """
        if not len(self.images(number)):
            return {}
        best = self._load(number)
        if best is None:
            return {}
        last = self._learner.state_dict()
        self._learner.load_state_dict(best.tensors)
        accuracy = evaluate(self._learner, test).accuracy
        self._learner.load_state_dict(last)
        return {
            "accuracy at best validation": accuracy,
            "best validation accuracy": float(str(best.document["accuracy"])),
            "best validation step": float(str(best.document["step"])),
        }

    def _enter(self, number: int) -> None:
        if number == self._round:
            return
        self._round = number
        self._images = self.images(number)
        self._best = None
        if (self._store.folder / FOLDER / _name(number)).exists():
            best = self._load(number)
            self._best = None if best is None else float(str(best.document["accuracy"]))

    def _load(self, number: int) -> checkpoints.Checkpoint | None:
        try:
            return checkpoints.load(self._store.folder / FOLDER / _name(number))
        except checkpoints.DamagedCheckpoint as damage:
            report_event(
                self._store, self._observer, "best weights lost", f"Round {number}: {damage.problem}"
            )
            return None


def _name(number: int) -> str:
    return f"round-{number:03d}"
