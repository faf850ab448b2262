"""Cards: the next images for a page, each leased to the person who sees it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence

from aral.annotation.annotators import annotator_id
from aral.annotation.database import ProjectDatabase, clock
from aral.annotation.leases import Claim, Holder, end_old_leases, own_leases, renew, take
from aral.annotation.predictions import NewestPredictions
from aral.annotation.queue import choose, take_again
from aral.annotation.records import Card, PageSettings, Suggestion
from aral.annotation.settings import read_settings
from aral.annotation.withholding import in_hidden_tenth
from aral.errors import BadInput

MOST_CARDS = 200


class CardDesk:
    """Gives out cards."""

    def __init__(self, database: ProjectDatabase, predictions: NewestPredictions) -> None:
        self._database = database
        self._predictions = predictions

    def next_cards(self, annotator: str, count: int, holding: Sequence[int], tab: str) -> list[Card]:
        """As :meth:`aral.annotation.Project.next_cards`."""
        if not 0 <= count <= MOST_CARDS:
            raise BadInput(f"{count} cards at once are out of range.", f"Ask for 1 to {MOST_CARDS}.")
        table = self._predictions.table()
        with self._database.transaction(noticed=False, durable=False) as connection:
            settings = read_settings(connection)
            holder = Holder(annotator_id(connection, annotator), tab, settings.overlap, clock(connection))
            end_old_leases(connection, holder.now)
            renew(connection, holder, holding)
            again = take_again(connection, holder, holding)
            take(connection, holder, again, [table.of(claim.image_id) for claim in again])
            given = own_leases(connection, holder, holding)[:count]
            renew(connection, holder, [claim.image_id for claim, _ in given])
            lacking = count - len(given)
            claims = choose(connection, holder, lacking, holding, _share(connection, settings))
            said = [table.of(claim.image_id) for claim in claims]
            take(connection, holder, claims, said)
            given += zip(claims, said, strict=True)
            if not given:  # nothing else is left: what this person's other tabs were given
                given = own_leases(connection, holder, holding, any_tab=True)[:count]
            return [_card(connection, settings, *one) for one in given]


def _share(connection: sqlite3.Connection, settings: PageSettings) -> float:
    """The part of the answers that measure: so large that slice and budget are used up together."""
    if settings.budget is None:
        return settings.estimate_share
    (images,) = connection.execute("SELECT count(*) FROM images WHERE estimate = 1").fetchone()
    return float(images) / settings.budget


def _card(
    connection: sqlite3.Connection, settings: PageSettings, claim: Claim, said: Suggestion | None
) -> Card:
    name, width, height = connection.execute(
        "SELECT name, width, height FROM images WHERE id = ?", (claim.image_id,)
    ).fetchone()
    hidden = claim.purpose == "estimate" or in_hidden_tenth([claim.image_id])[0]
    return Card(
        claim.image_id,
        os.fsdecode(name),
        width,
        height,
        claim.purpose,
        claim.asked.round,
        claim.reason,
        said if settings.suggestions_on and not hidden else None,
        hidden,
    )
