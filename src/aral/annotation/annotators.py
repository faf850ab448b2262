"""The annotators of a project, identified by their names."""

from __future__ import annotations

from dataclasses import dataclass

from aral.annotation.database import Connection, ProjectDatabase
from aral.annotation.names import checked_name, composed


@dataclass(frozen=True)
class Annotator:
    """A person or program that gives labels; added when the name is first used."""

    id: int
    name: str


class Annotators:
    """The annotators of a project."""

    def __init__(self, database: ProjectDatabase) -> None:
        self._database = database

    def all(self) -> tuple[Annotator, ...]:
        """All annotators in the order they were added."""
        rows = self._database.rows("SELECT id, name FROM annotators ORDER BY id")
        return tuple(Annotator(number, name) for number, name in rows)

    def get_or_add(self, name: str) -> Annotator:
        """The annotator of this name, added if the name is new.

        Raises:
            BadInput: the name is empty or not valid Unicode.
        """
        name = checked_name("an annotator", name)
        known = next((known for known in self.all() if known.name == composed(name)), None)
        if known is not None:
            return known
        with self._database.transaction() as connection:
            return Annotator(ensure_annotator(connection, name), composed(name))


def ensure_annotator(connection: Connection, name: str) -> int:
    """The id of an annotator, added if the name is new; inside a transaction.

    Raises:
        BadInput: the name is empty or not valid Unicode.
    """
    known = find_annotator(connection, name)
    if known:
        return known
    connection.execute(
        "INSERT INTO annotators (name) VALUES (?)", (composed(checked_name("an annotator", name)),)
    )
    return find_annotator(connection, name)


def find_annotator(connection: Connection, name: str) -> int:
    """The id of an annotator, 0 when the name is unknown; nothing is written.

    Raises:
        BadInput: the name is empty or not valid Unicode.
    """
    row = connection.execute(
        "SELECT id FROM annotators WHERE name = ?", (composed(checked_name("an annotator", name)),)
    ).fetchone()
    return int(row[0]) if row else 0
