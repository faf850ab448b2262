"""The grid: many images at once, each leased to the person who sees it, as cards are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from threading import Lock
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64

from aral.annotation.annotators import annotator_id
from aral.annotation.database import ProjectDatabase, clock
from aral.annotation.figures import GridCell, GridPage
from aral.annotation.leases import Holder, end_lease, end_old_leases, grid_of, leased_by_tab, renew, take
from aral.annotation.predictions import NewestPredictions, PredictionTable
from aral.annotation.queue import claims_on
from aral.annotation.review import Review
from aral.annotation.settings import read_settings
from aral.annotation.withholding import in_hidden_tenth

PLACES = 2**53
"""The random number of an image is a multiple of one part in so many: its place in the random order."""

_WITH_OTHERS = """i.open = 1 AND (
    i.verdicts + (SELECT count(*) FROM leases l
        WHERE l.image_id = i.id AND l.annotator_id <> :person) >= :overlap
    OR NOT :any_tab AND EXISTS (SELECT 1 FROM leases l WHERE l.image_id = i.id AND l.annotator_id = :person
        AND l.tab NOT IN (:tab, :grid)))"""
"""An image ``i`` waits for an answer, on the page of another person or in another tab of the same one."""

_THIS_IS = f"SELECT 1 FROM images i WHERE i.id = :image AND {_WITH_OTHERS}"
_UNLABELLED = f"""SELECT i.id, i.shuffle FROM images i
    WHERE i.open = 1 AND i.estimate = 0 AND i.shuffle >= :least AND NOT ({_WITH_OTHERS})
    ORDER BY i.shuffle, i.id LIMIT :count"""

_Found: TypeAlias = tuple[list[int], int | None]
"""Images for a page, and where the next page begins."""

_Find: TypeAlias = Callable[[sqlite3.Connection, dict[str, object]], _Found]


class TileDesk:
    """Gives out pages of the grid; what a tab's grid shows is leased to it until its next page."""

    def __init__(self, database: ProjectDatabase, predictions: NewestPredictions, review: Review) -> None:
        self._database = database
        self._predictions = predictions
        self._review = review
        self._lock = Lock()
        self._laid_out: tuple[int, Int64[np.ndarray, " N"]] = (0, np.empty(0, np.int64))

    def predictions_page(self, annotator: str, tab: str, offset: int, count: int) -> GridPage:
        """As :meth:`aral.annotation.Project.predictions_page`."""
        order = self._order()

        def find(connection: sqlite3.Connection, values: dict[str, object]) -> _Found:
            free = (
                place
                for place in range(max(0, offset), order.size)
                if connection.execute(_THIS_IS, {**values, "image": int(order[place])}).fetchone() is None
            )
            places = list(islice(free, max(0, count) + 1))
            return order[places[:count]].tolist(), places[count] if len(places) > count else None

        return self._show(annotator, tab, find)

    def unlabelled_page(self, annotator: str, tab: str, place: int, count: int) -> GridPage:
        """As :meth:`aral.annotation.Project.unlabelled_page`."""

        def find(connection: sqlite3.Connection, values: dict[str, object]) -> _Found:
            wanted = {**values, "least": place / PLACES, "count": max(0, count) + 1}
            rows = connection.execute(_UNLABELLED, wanted).fetchall()
            following = int(rows[count][1] * PLACES) if len(rows) > count else None
            return [image_id for image_id, _ in rows[:count]], following

        return self._show(annotator, tab, find)

    def tiles(self, annotator: str, tab: str, image_ids: Sequence[int]) -> list[GridCell]:
        """As :meth:`aral.annotation.Project.tiles`."""

        def find(connection: sqlite3.Connection, values: dict[str, object]) -> _Found:
            return [
                image_id
                for image_id in image_ids
                if connection.execute(_THIS_IS, {**values, "image": image_id}).fetchone() is None
            ], None

        return self._show(annotator, tab, find).cells

    def _show(self, annotator: str, tab: str, find: _Find) -> GridPage:
        """Find images that nobody else has on a page, and lease them; rather those of other tabs than none."""
        table = self._predictions.table()
        with self._database.transaction(noticed=False, durable=False) as connection:
            overlap = read_settings(connection).overlap
            holder = Holder(annotator_id(connection, annotator), tab, overlap, clock(connection))
            end_old_leases(connection, holder.now)
            values = {
                "person": holder.annotator_id,
                "overlap": overlap,
                "tab": tab,
                "grid": grid_of(tab),
            }
            ids, following = find(connection, {**values, "any_tab": False})
            if not ids:
                ids, following = find(connection, {**values, "any_tab": True})
            lease_tiles(connection, holder, ids, table)
        return GridPage(self._review.cells(ids), following)

    def _order(self) -> Int64[np.ndarray, " N"]:
        """The order of the newest model, laid out once."""
        table = self._predictions.table()
        with self._lock:
            if self._laid_out[0] != table.model_number:
                self._laid_out = (table.model_number, self._lay_out(table))
            return self._laid_out[1]

    def _lay_out(self, table: PredictionTable) -> Int64[np.ndarray, " N"]:
        """The images open now whose suggestion may be seen, by predicted class and falling probability."""
        rows = self._database.rows("SELECT id FROM images WHERE open = 1 AND estimate = 0")
        ids = np.array([image_id for (image_id,) in rows], dtype=np.int64)
        is_open = np.isin(table.ids, ids[~np.array(in_hidden_tenth(ids.tolist()), dtype=bool)])
        classes = np.array([table.merges[class_id] for class_id in table.classes.tolist()], dtype=np.int64)
        order = np.lexsort((table.ids, -table.probabilities, classes))
        return table.ids[order[is_open[order]]]


def lease_tiles(
    connection: sqlite3.Connection, holder: Holder, image_ids: Sequence[int], table: PredictionTable
) -> None:
    """Lease what a grid shows, and nothing else, to its tab. What is on one of the person's cards stays there."""
    grid = replace(holder, tab=grid_of(holder.tab))
    shown, before = set(image_ids), leased_by_tab(connection, grid)
    for image_id in before - shown:
        end_lease(connection, image_id, grid.annotator_id)
    renew(connection, grid, sorted(before & shown))
    claims = claims_on(connection, grid, image_ids)
    take(connection, grid, claims, [table.of(claim.image_id) for claim in claims])
