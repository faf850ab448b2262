"""What the store gives back: one frozen record a row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """What a round has got done after its labels were fixed; each stage follows the one before."""

    TRAINED = "trained"
    EVALUATED = "evaluated"


@dataclass(frozen=True)
class RoundRow:
    """A round of labelling and training.

    Attributes:
        round: its number, from 0.
        labelled: how many labelled images it trains on.
        trained_at: when its training was complete, UTC; None before.
        evaluated_at: when its evaluation was complete, UTC; None before.
    """

    round: int
    labelled: int
    trained_at: str | None
    evaluated_at: str | None

    @property
    def stage(self) -> Stage | None:
        """The last stage reached; None while training is not complete."""
        if self.evaluated_at is not None:
            return Stage.EVALUATED
        return None if self.trained_at is None else Stage.TRAINED


@dataclass(frozen=True)
class AnswerRow:
    """One event of labelling, exactly as it was recorded; an undo is an event too.

    Attributes:
        seq: the order of recording; the clock has no say in it.
        uuid: the sender's name of the event.
        image_id: the image.
        round: the round in which the event was sent.
        kind: ``"class"``, ``"undo"`` or a value of :class:`aral.types.NoClass`.
        class_index: the class, for kind ``"class"`` only.
        cancels: the seq of the answer that an undo takes back, for kind ``"undo"`` only.
        annotator: who sent it.
        created_at: when it was recorded, UTC.
    """

    seq: int
    uuid: str
    image_id: int
    round: int
    kind: str
    class_index: int | None
    cancels: int | None
    annotator: str
    created_at: str


@dataclass(frozen=True)
class MetricRow:
    """One number of one step of training or evaluation; it may be NaN or infinite."""

    round: int
    step: int
    name: str
    value: float


@dataclass(frozen=True)
class CheckpointRow:
    """A checkpoint that was completely written.

    Attributes:
        folder: its name inside the run's folder of checkpoints.
        round: the round it belongs to.
        step: the training step of that round after which it was taken.
        created_at: when it was recorded, UTC.
    """

    folder: str
    round: int
    step: int
    created_at: str


@dataclass(frozen=True)
class EventRow:
    """Something the user should know of, such as a damaged checkpoint that was passed over."""

    seq: int
    created_at: str
    kind: str
    message: str
