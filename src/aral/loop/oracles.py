"""Oracles, which answer the queries of a benchmark, at once or later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from aral.types import Answer, ClassAnswer, Selection


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
