"""The grid: pages of many images, each leased to the annotator who sees it, as cards are."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64

from aral.annotation.annotations import GivenLabel, given_label
from aral.annotation.annotators import ensure_annotator, find_annotator
from aral.annotation.consensus import live_class_of
from aral.annotation.database import Connection, ProjectDatabase, clock
from aral.annotation.predictions import (
    Predictions,
    PredictionTable,
    Suggestion,
    hides_suggestion,
    is_suggestion_hidden,
)
from aral.annotation.queue import GRID, Holder, end_old_leases, lease_grid
from aral.annotation.settings import read_settings

POSITIONS = 2**53
"""The random number of an image is a multiple of 1/POSITIONS; the numerator is its position in the random order."""

_LEASED_ELSEWHERE = """i.open = 1 AND (
    i.verdicts + (SELECT count(*) FROM leases l
        WHERE l.image_id = i.id AND l.annotator_id <> :annotator) >= :overlap
    OR :any_tab = 0 AND EXISTS (SELECT 1 FROM leases l WHERE l.image_id = i.id AND l.annotator_id = :annotator
        AND l.tab NOT IN (:tab, :grid)))"""
"""SQL: an open image ``i`` is leased to other annotators, or to another tab of the same one."""

_THIS_IS_LEASED_ELSEWHERE = f"SELECT 1 FROM images i WHERE i.id = :image AND {_LEASED_ELSEWHERE}"
_UNLABELLED = f"""SELECT i.id, i.shuffle FROM images i
    WHERE i.open = 1 AND i.estimate = 0 AND i.shuffle >= :least AND NOT ({_LEASED_ELSEWHERE})
    ORDER BY i.shuffle, i.id LIMIT :count"""

_Found: TypeAlias = tuple[list[int], int | None]
"""Images for a page, and where the next page begins."""

_Find: TypeAlias = Callable[[Connection, dict[str, object]], _Found]


@dataclass(frozen=True)
class GridCell:
    """An image on a page of the grid.

    Attributes:
        image_id: the image.
        name: its file.
        suggestion: the newest model's; None before there is one, and where it is hidden.
        answered: it was answered since the order was fixed; cells keep their positions.
        label: what a further answer of the annotator would replace; see
            :func:`aral.annotation.annotations.given_label`.
    """

    image_id: int
    name: str
    suggestion: Suggestion | None
    answered: bool
    label: GivenLabel = None


@dataclass(frozen=True)
class GridPage:
    """A page of the grid.

    Attributes:
        cells: the images, in order.
        next: where the next page begins, to be passed on as it is; None after the last page.
    """

    cells: list[GridCell]
    next: int | None


class Grid:
    """Pages of the grid. What a tab's grid shows is leased to it until its next page."""

    def __init__(self, database: ProjectDatabase, predictions: Predictions) -> None:
        self._database = database
        self._predictions = predictions
        self._lock = Lock()
        self._sorted: tuple[int, Int64[np.ndarray, " N"]] = (0, np.empty(0, np.int64))

    def predictions_page(self, annotator: str, offset: int = 0, count: int = 64, tab: str = "") -> GridPage:
        """Open images by predicted class, the most probable first, without those with a hidden suggestion.

        The order is fixed once for each model; images answered meanwhile keep their positions. Images leased
        elsewhere are left out, as long as there are others. The images shown are leased to this tab; the leases
        of its grid's previous page end.
        """
        return self.ordered_page(annotator, self._order(), offset, count, tab)

    def ordered_page(
        self,
        annotator: str,
        order: Int64[np.ndarray, " N"],
        offset: int = 0,
        count: int = 64,
        tab: str = "",
    ) -> GridPage:
        """Images in a given order; leased as above. The offset is a position in this order."""

        def find(connection: Connection, values: dict[str, object]) -> _Found:
            free = (
                position
                for position in range(max(0, offset), order.size)
                if connection.execute(
                    _THIS_IS_LEASED_ELSEWHERE, {**values, "image": int(order[position])}
                ).fetchone()
                is None
            )
            found = list(islice(free, max(0, count) + 1))
            return order[found[:count]].tolist(), found[count] if len(found) > count else None

        return self._page(annotator, tab, find)

    def unlabelled_page(self, annotator: str, position: int = 0, count: int = 64, tab: str = "") -> GridPage:
        """Open images in a fixed random order, without the estimate set; leased as above.

        A position counts in the order of all images, so answers and leases do not shift the pages after it.
        """

        def find(connection: Connection, values: dict[str, object]) -> _Found:
            limits = {**values, "least": position / POSITIONS, "count": max(0, count) + 1}
            rows = connection.execute(_UNLABELLED, limits).fetchall()
            following = int(rows[count][1] * POSITIONS) if len(rows) > count else None
            return [image_id for image_id, _ in rows[:count]], following

        return self._page(annotator, tab, find)

    def lease(self, annotator: str, image_ids: Sequence[int], tab: str = "") -> list[GridCell]:
        """Lease those of the images that are not leased elsewhere to this tab; their cells."""

        def find(connection: Connection, values: dict[str, object]) -> _Found:
            return [
                image_id
                for image_id in image_ids
                if connection.execute(_THIS_IS_LEASED_ELSEWHERE, {**values, "image": image_id}).fetchone()
                is None
            ], None

        return self._page(annotator, tab, find).cells

    def cells(self, image_ids: Sequence[int], annotator: str | None = None) -> list[GridCell]:
        """Cells of these images for an annotator, in this order, without a lease; unknown images are left out."""
        table = self._predictions.table()
        found = {}
        with self._database.snapshot() as connection:
            annotator_id = 0 if annotator is None else find_annotator(connection, annotator)
            merges = live_class_of(connection)
            for image_id in image_ids:
                row = connection.execute(
                    "SELECT name, verdicts > 0 FROM images WHERE id = ?", (image_id,)
                ).fetchone()
                if row is not None:
                    hidden = is_suggestion_hidden(connection, image_id)
                    suggestion = None if hidden else table.of(image_id)
                    label = given_label(connection, image_id, annotator_id, merges)
                    found[image_id] = GridCell(image_id, os.fsdecode(row[0]), suggestion, bool(row[1]), label)
        return [found[image_id] for image_id in image_ids if image_id in found]

    def _page(self, annotator: str, tab: str, find: _Find) -> GridPage:
        """Find images that are not leased elsewhere, and lease them; those of the annotator's other tabs only
        if there are no others."""
        table = self._predictions.table()
        with self._database.transaction(notify=False, durable=False) as connection:
            overlap = read_settings(connection).overlap
            holder = Holder(ensure_annotator(connection, annotator), tab, overlap, clock(connection))
            end_old_leases(connection, holder.now)
            values = {
                "annotator": holder.annotator_id,
                "overlap": overlap,
                "tab": tab,
                "grid": GRID + tab,
            }
            ids, following = find(connection, {**values, "any_tab": False})
            if not ids:
                ids, following = find(connection, {**values, "any_tab": True})
            lease_grid(connection, holder, ids, table)
        return GridPage(self.cells(ids, annotator), following)

    def _order(self) -> Int64[np.ndarray, " N"]:
        """The order of the newest model's predictions, computed once."""
        table = self._predictions.table()
        with self._lock:
            if self._sorted[0] != table.model_number:
                self._sorted = (table.model_number, self._sort(table))
            return self._sorted[1]

    def _sort(self, table: PredictionTable) -> Int64[np.ndarray, " N"]:
        """The open images whose suggestion is not hidden, by predicted class and falling probability."""
        rows = self._database.rows("SELECT id FROM images WHERE open = 1 AND estimate = 0")
        ids = np.array([image_id for (image_id,) in rows], dtype=np.int64)
        is_shown = np.isin(table.ids, ids[~np.array(hides_suggestion(ids.tolist()), dtype=bool)])
        classes = np.array([table.merges[class_id] for class_id in table.classes.tolist()], dtype=np.int64)
        order = np.lexsort((table.ids, -table.probabilities, classes))
        return table.ids[order[is_shown[order]]]
