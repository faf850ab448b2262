"""What training reports: models with their figures, predictions, states and advice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aral.annotation.records import Suggestion

Phase = Literal["idle", "training", "choosing", "failed", "off"]
"""What the trainer does; ``off`` when none runs."""


@dataclass(frozen=True)
class Estimate:
    """A share of the estimate slice with its interval.

    Attributes:
        accuracy: share of right predictions in 0..1.
        low: lower end of the 95 % interval.
        high: upper end.
        count: how many labels it rests on.
        late: how many of them came into the slice after other images had been chosen and answered: they were drawn
            from what was left, so the share may be too high.
    """

    accuracy: float
    low: float
    high: float
    count: int
    late: int = 0


@dataclass(frozen=True)
class ClassFigure:
    """The figures of one class: how many labels it has for training, and its recall on the estimate slice."""

    class_id: int
    labels: int
    recall: Estimate | None


@dataclass(frozen=True)
class ModelRecord:
    """A trained classifier and how good it is.

    Attributes:
        round: the round of labels it was trained on, from 0.
        folder: its sealed folder, relative to the project's folder.
        trained_on: count of labels it was trained on.
        seconds: how long that took.
        class_ids: the classes in the order of its outputs.
        estimate: accuracy on the estimate slice; None while that has no labels.
        per_class: figures by class.
        confusion: ``confusion[i][j]`` counts images of the estimate slice with class ``class_ids[i]`` that
            it takes for ``class_ids[j]``.
        curve_point: labels given in all and accuracy, as the learning curve shows them; None to leave out.
        newest_answer: ``seq`` of the newest answer it has learned from; 0 when unknown.
        number: given by :meth:`Project.record_model`, from 1; 0 before.
        recorded_at: UTC in ISO 8601; empty before.
    """

    round: int
    folder: str
    trained_on: int
    seconds: float
    class_ids: tuple[int, ...]
    estimate: Estimate | None = None
    per_class: tuple[ClassFigure, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    curve_point: tuple[int, float] | None = None
    newest_answer: int = 0
    number: int = 0
    recorded_at: str = ""


@dataclass(frozen=True)
class GridCell:
    """An image on a page of the grid.

    Attributes:
        image_id: the image.
        name: its file.
        suggestion: what the newest model says; None before there is one, and where it is held back.
        answered: it was answered since the grid was laid out; cells keep their places meanwhile.
    """

    image_id: int
    name: str
    suggestion: Suggestion | None
    answered: bool


@dataclass(frozen=True)
class GridPage:
    """Some images of the grid.

    Attributes:
        cells: the images, in order.
        next: where the next page begins, to be passed on as it is; None after the last page.
    """

    cells: list[GridCell]
    next: int | None


@dataclass(frozen=True)
class Disagreement:
    """A label that a model which has not learned from it doubts.

    Attributes:
        image_id: the image.
        name: its file.
        class_id: its label.
        annotators: who gave it.
        suggestion: what the model says instead.
    """

    image_id: int
    name: str
    class_id: int
    annotators: tuple[str, ...]
    suggestion: Suggestion


@dataclass(frozen=True)
class TrainingState:
    """What the trainer does just now.

    Attributes:
        phase: the kind of work.
        round: the round it works on; None before the first.
        fraction: how much of the work is done, in 0..1.
        message: one sentence for people; may be empty.
        updated: UTC in ISO 8601, set when it is stored.
    """

    phase: Phase
    round: int | None = None
    fraction: float = 0.0
    message: str = ""
    updated: str = ""


@dataclass(frozen=True)
class Advice:
    """What the next labels would bring.

    Attributes:
        next_labels: how many labels are meant.
        gain: expected gain of accuracy in points of a hundred.
        low: lower end of its interval.
        high: upper end.
        sentence: the same for people.
    """

    next_labels: int
    gain: float
    low: float
    high: float
    sentence: str
