"""Where a session's labels come from: a log of answers that is read from where the last reading ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from aral.types import Answer, ClassAnswer, Ids, NoClass, NoClassAnswer

EXCLUDING = (NoClass.BAD_IMAGE, NoClass.NONE_OF_THESE)
"""Answers after which an image is not trained on at all, not even as an unlabelled one."""


@dataclass(frozen=True)
class LabelChanges:
    """What a log of labels holds beyond a cursor.

    Attributes:
        cursor: id of the newest event in the log; the next reading starts here. 0 for an empty log.
        answers: for each image with a newer event, its answer as it is now; None when no answer is left.
    """

    cursor: int
    answers: Mapping[int, Answer | None]


@runtime_checkable
class LabelSource(Protocol):
    """The one log of labels of a session.

    In a benchmark that is :class:`aral.loop.label_log.LabelLog`, in the store of the run folder; in an annotation
    project it is the project's annotation log.
    """

    def since(self, cursor: int) -> LabelChanges:
        """What has changed after the event ``cursor``; 0 gives everything."""
        ...


class CurrentLabels:
    """The answers of a source as they were when it was last read.

    Args:
        source: read by :meth:`refresh` only, from where the last call ended.
    """

    def __init__(self, source: LabelSource) -> None:
        self._source = source
        self._cursor = 0
        self._answers: dict[int, Answer] = {}

    @property
    def cursor(self) -> int:
        """Id of the newest event that was read."""
        return self._cursor

    def refresh(self) -> None:
        """Read what has changed in the source since the last call."""
        changes = self._source.since(self._cursor)
        for image_id, answer in changes.answers.items():
            if answer is None:
                self._answers.pop(image_id, None)
            else:
                self._answers[image_id] = answer
        self._cursor = changes.cursor

    def answers(self) -> list[Answer]:
        """The answer of every answered image, in ascending order of id."""
        return [self._answers[image_id] for image_id in sorted(self._answers)]

    def answered(self) -> Ids:
        """Ids of the images with an answer of any kind, ascending."""
        return np.array(sorted(self._answers), dtype=np.int64)

    def classes(self) -> dict[int, int]:
        """Class index by image, in ascending order of id."""
        return {each.image_id: each.class_index for each in self.answers() if isinstance(each, ClassAnswer)}

    def labels(self) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
        """Ids, ascending, and class indices of the images with a class."""
        classes = self.classes()
        return np.array(list(classes), dtype=np.int64), np.array(list(classes.values()), dtype=np.int64)

    def ood(self) -> Ids:
        """Ids of the out-of-distribution images (answer 'none of these'), ascending."""
        return self.without_class(NoClass.NONE_OF_THESE)

    def excluded(self) -> Ids:
        """Ids of the images that are neither labelled nor unlabelled: bad, or out of distribution; ascending."""
        return self.without_class(*EXCLUDING)

    def without_class(self, *reasons: NoClass) -> Ids:
        """Ids of the images that were answered with one of these reasons instead of a class, ascending."""
        found = [
            image_id
            for image_id, answer in self._answers.items()
            if isinstance(answer, NoClassAnswer) and answer.reason in reasons
        ]
        return np.array(sorted(found), dtype=np.int64)
