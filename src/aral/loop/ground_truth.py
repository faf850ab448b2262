"""The oracle of a benchmark: knows every label and answers at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64

from aral.types import Answer, ClassAnswer, Selection


class GroundTruth:
    """Answers from a table of labels.

    Args:
        ids: image ids.
        classes: their true classes, in the same order.
    """

    def __init__(self, ids: Int64[np.ndarray, " N"], classes: Int64[np.ndarray, " N"]) -> None:
        self._classes: Mapping[int, int] = dict(zip(ids.tolist(), classes.tolist(), strict=True))
        self._waiting: dict[int, None] = {}  # a set that keeps the order

    @property
    def name(self) -> str:
        """The annotator's name."""
        return "ground truth"

    def request(self, selection: Selection) -> None:
        """Take note of the images."""
        self._waiting.update(dict.fromkeys(selection.ids.tolist()))

    def collect(self) -> list[Answer]:
        """One class for every image that was asked for, in the order of asking."""
        answers: list[Answer] = [ClassAnswer(image, self._classes[image]) for image in self._waiting]
        self._waiting.clear()
        return answers
