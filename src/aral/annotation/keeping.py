"""What stays on a page stays leased to it, for as long as somebody has the page before them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from aral.annotation.annotators import known_annotator
from aral.annotation.database import ProjectDatabase, clock, clock_now
from aral.annotation.leases import LEASE_SECONDS, Holder, end_old_leases, grid_of, leased_by_tab, renew, take
from aral.annotation.predictions import NewestPredictions
from aral.annotation.queue import claims_on, take_again
from aral.annotation.settings import read_settings
from aral.annotation.tiles import lease_tiles

RENEWED_AFTER = 60.0
"""Seconds: pages say every two seconds what they show, and not each time is worth a write."""


def keep_leases(
    database: ProjectDatabase,
    predictions: NewestPredictions,
    annotator: str,
    cards: Sequence[int],
    tiles: Sequence[int] | None,
    tab: str,
) -> None:
    """As :meth:`aral.annotation.Project.keep_leases`."""
    with database.moment() as connection:
        person = known_annotator(connection, annotator)
        overlap = read_settings(connection).overlap
        if not _is_due(connection, Holder(person, tab, overlap, clock_now(connection)), cards, tiles):
            return
    table = predictions.table()
    with database.transaction(noticed=False, durable=False) as connection:
        holder = Holder(person, tab, overlap, clock(connection))
        end_old_leases(connection, holder.now)
        renew(connection, holder, cards)
        again = take_again(connection, holder, cards)
        take(connection, holder, again, [table.of(claim.image_id) for claim in again])
        if tiles is not None:
            lease_tiles(connection, holder, tiles, table)


def _is_due(
    connection: sqlite3.Connection, holder: Holder, cards: Sequence[int], tiles: Sequence[int] | None
) -> bool:
    """Whether a lease is to be renewed, taken again or ended. Nobody who never had a card has any."""
    if not holder.annotator_id:
        return False
    rows = connection.execute(
        "SELECT image_id FROM leases WHERE annotator_id = ? AND ends < ?",
        (holder.annotator_id, holder.now + LEASE_SECONDS - RENEWED_AFTER),
    )
    old = {image_id for (image_id,) in rows}
    if old & {*cards, *(tiles or ())} or take_again(connection, holder, cards):
        return True
    if tiles is None:
        return False
    grid = replace(holder, tab=grid_of(holder.tab))
    return bool(leased_by_tab(connection, grid) - set(tiles) or claims_on(connection, holder, tiles))
