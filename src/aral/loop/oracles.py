"""Oracles, which answer the queries of a benchmark, at once or later: exactly, or as annotators do.

An annotator may be wrong, may not know, and costs something. What an oracle of settings answers to an image is a
function of its stream and of the image, whenever and however often it is asked: a run that was killed goes on with the
same answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64
from pydantic import Field, model_validator

from aral.randomness import Stream
from aral.settings import Settings
from aral.types import Answer, ClassAnswer, Ids, NoClass, NoClassAnswer, Selection


class OracleSettings(Settings):
    """How an oracle answers; without a setting: at once, with the class in the data, one label an image.

    With any cost, ``rounds.budget`` is what may be spent in all, and no longer a number of labels. A run ends when the
    next image of a query would exceed it.
    """

    wrong: float = Field(0.0, ge=0, le=1)  # probability of a wrong class, any other one
    wrong_by_class: dict[str, float] = Field(default_factory=dict)  # the same, by class; overrides ``wrong``
    unknown: float = Field(0.0, ge=0, lt=1)  # probability of "I don't know"
    unknown_is_spent: bool = True  # whether an image without an answer counts towards the budget
    cost: float | None = Field(None, gt=0)  # of an image
    cost_by_class: dict[str, float] = Field(default_factory=dict)  # overrides ``cost``
    cost_file: str | None = None  # CSV file with the cost of each image of the pool

    @model_validator(mode="after")
    def _check(self) -> OracleSettings:
        if any(not 0 <= value <= 1 for value in self.wrong_by_class.values()):
            raise ValueError("wrong_by_class holds probabilities, 0 to 1")
        if any(value <= 0 for value in self.cost_by_class.values()):
            raise ValueError("cost_by_class must be above 0")
        if self.cost_file is not None and (self.cost_by_class or self.cost is not None):
            raise ValueError("cost_file and the other costs contradict each other")
        return self

    @property
    def has_costs(self) -> bool:
        """Whether the budget is a cost, and not a number of labels."""
        return self.cost is not None or bool(self.cost_by_class) or self.cost_file is not None

    @property
    def is_exact(self) -> bool:
        """Whether the oracle always gives the class in the data, one label an image."""
        probabilities = (self.wrong, self.unknown, *self.wrong_by_class.values())
        return not self.has_costs and not any(probabilities)


@runtime_checkable
class Oracle(Protocol):
    """Answers queries, at once or over days, all of the images or some."""

    @property
    def name(self) -> str:
        """Recorded as the annotator of each answer."""
        ...

    def request(self, selection: Selection) -> None:
        """Ask for the labels of images; asking twice for the same image is harmless."""
        ...

    def collect(self) -> list[Answer]:
        """Answers that have arrived since the last call; may be empty."""
        ...


class GroundTruth:
    """The oracle of a benchmark: answers at once from a table of true labels.

    Args:
        ids: image ids.
        classes: their true classes, in the same order.
    """

    def __init__(self, ids: Int64[np.ndarray, " N"], classes: Int64[np.ndarray, " N"]) -> None:
        self._classes: Mapping[int, int] = dict(zip(ids.tolist(), classes.tolist(), strict=True))
        self._requested: dict[int, None] = {}  # a set that keeps the order

    @property
    def name(self) -> str:
        """The annotator's name."""
        return "ground truth"

    def request(self, selection: Selection) -> None:
        """Remember the images for :meth:`collect`."""
        self._requested.update(dict.fromkeys(selection.ids.tolist()))

    def collect(self) -> list[Answer]:
        """The class of every image that was requested since the last call, in the order of requests."""
        answers: list[Answer] = [ClassAnswer(image, self._classes[image]) for image in self._requested]
        self._requested.clear()
        return answers


class SimulatedAnnotator:
    """An oracle that is wrong, or does not know, with stated probabilities.

    Args:
        ids: image ids.
        classes: their true classes, in the same order.
        class_count: K, at least 2.
        wrong: probability of a wrong class for each image, in the same order. The wrong class is any other one, all
            equally probable.
        unknown: probability that an image is answered "unsure" in place of a class, right or wrong.
        stream: decides the answers, each by the id of its image.
    """

    def __init__(
        self,
        ids: Ids,
        classes: Int64[np.ndarray, " N"],
        class_count: int,
        wrong: Float64[np.ndarray, " N"],
        unknown: float,
        stream: Stream,
    ) -> None:
        is_wrong = stream.child("wrong").uniform(ids) < wrong
        shift = 1 + np.floor(stream.child("wrong class").uniform(ids) * (class_count - 1)).astype(np.int64)
        answered = np.where(is_wrong, (classes + shift) % class_count, classes)
        self._truth = GroundTruth(ids, answered)
        self._unsure = frozenset(ids[stream.child("unknown").uniform(ids) < unknown].tolist())

    @property
    def name(self) -> str:
        """The annotator's name."""
        return "simulated annotator"

    def request(self, selection: Selection) -> None:
        """Remember the images for :meth:`collect`."""
        self._truth.request(selection)

    def collect(self) -> list[Answer]:
        """The answer to every image that was requested since the last call, in the order of requests."""
        return [
            NoClassAnswer(answer.image_id, NoClass.UNSURE) if answer.image_id in self._unsure else answer
            for answer in self._truth.collect()
        ]
