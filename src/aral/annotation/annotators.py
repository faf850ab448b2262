"""The people who answer, known by their names."""

from __future__ import annotations

import sqlite3

from aral.annotation.database import Part
from aral.annotation.names import checked_name, composed
from aral.annotation.records import Annotator


class AnnotatorsPart(Part):
    """The people of a project."""

    def annotator(self, name: str) -> Annotator:
        """The person of this name, who is made when the name is new.

        Raises:
            BadInput: the name is empty or no text.
        """
        name = checked_name("an annotator", name)
        known = next((known for known in self.annotators() if known.name == composed(name)), None)
        if known is not None:
            return known
        with self._database.transaction() as connection:
            return Annotator(annotator_id(connection, name), composed(name))

    def annotators(self) -> tuple[Annotator, ...]:
        """Everybody, in the order they came."""
        rows = self._database.rows("SELECT id, name FROM annotators ORDER BY id")
        return tuple(Annotator(number, name) for number, name in rows)


def annotator_id(connection: sqlite3.Connection, name: str) -> int:
    """The number of a person, who is made when the name is new; inside a transaction.

    Raises:
        BadInput: the name is empty or no text.
    """
    name = composed(checked_name("an annotator", name))
    row = connection.execute("SELECT id FROM annotators WHERE name = ?", (name,)).fetchone()
    if row is not None:
        return int(row[0])
    connection.execute("INSERT INTO annotators (name) VALUES (?)", (name,))
    return annotator_id(connection, name)


def known_annotator(connection: sqlite3.Connection, name: str) -> int:
    """The number of a person, 0 when nobody has this name yet; nothing is written.

    Raises:
        BadInput: the name is empty or no text.
    """
    row = connection.execute(
        "SELECT id FROM annotators WHERE name = ?", (composed(checked_name("an annotator", name)),)
    ).fetchone()
    return int(row[0]) if row else 0
