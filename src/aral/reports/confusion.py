"""Which classes are taken for which: a coloured table, or the commonest mistakes where classes are many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

LARGEST_TABLE = 30
"""With more classes than this, the table gives way to lists."""

MISTAKES_SHOWN = 20

STRONGEST = 0.75
"""Opacity of the colour of a full cell: text on it stays readable on light and on dark paper."""


@dataclass(frozen=True)
class ConfusionCell:
    """One count; the opacity of its colour is its share of the true class."""

    count: int
    opacity: str
    right: bool


@dataclass(frozen=True)
class ConfusionRow:
    """The test images of one true class.

    Attributes:
        name: the class.
        cells: counts by predicted class; empty where classes are too many for a table.
        total: how many images.
        accuracy: share of them that is classified right, in per cent; a dash without images.
    """

    name: str
    cells: tuple[ConfusionCell, ...]
    total: int
    accuracy: str


@dataclass(frozen=True)
class Mistake:
    """So many images of one class were taken for another."""

    count: int
    true: str
    predicted: str


@dataclass(frozen=True)
class ConfusionView:
    """A confusion matrix, ready to be shown.

    Attributes:
        heads: the predicted classes; empty where they are too many for a table.
        rows: one a true class.
        mistakes: the commonest confusions, the commonest first.
    """

    heads: tuple[str, ...]
    rows: tuple[ConfusionRow, ...]
    mistakes: tuple[Mistake, ...]


def confusion_view(confusion: Int64[np.ndarray, "K K"], names: Sequence[str]) -> ConfusionView:
    """Prepare a confusion matrix for people.

    Args:
        confusion: counts, row = true class, column = predicted class.
        names: K class names.
    """
    table = len(names) <= LARGEST_TABLE
    rows = []
    for index, (name, counts) in enumerate(zip(names, confusion.tolist(), strict=True)):
        total = sum(counts)
        cells = tuple(
            ConfusionCell(count, f"{STRONGEST * count / max(total, 1):.3f}", place == index)
            for place, count in enumerate(counts)
        )
        accuracy = f"{100 * counts[index] / total:.1f}" if total else "–"
        rows.append(ConfusionRow(name, cells if table else (), total, accuracy))
    return ConfusionView(tuple(names) if table else (), tuple(rows), _mistakes(confusion, names))


def _mistakes(confusion: Int64[np.ndarray, "K K"], names: Sequence[str]) -> tuple[Mistake, ...]:
    """Off-diagonal counts above zero, the largest first, equal ones in order of class."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES_SHOWN]
    return tuple(
        Mistake(int(wrong[true, predicted]), names[true], names[predicted])
        for true, predicted in (divmod(int(place), len(names)) for place in order)
        if wrong[true, predicted]
    )
