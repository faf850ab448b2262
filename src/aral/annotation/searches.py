"""Searches of a project's images by words: requested by the page, answered by the training worker.

The worker has the backbone in its memory anyway, so the server needs neither PyTorch nor a text tower: the page writes
a request into the project, and the worker answers it between two steps of its work. The newest searches are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from aral.annotation.database import ProjectDatabase, read_setting, write_setting
from aral.annotation.models import TrainingState
from aral.errors import BadInput

MOST_LETTERS = 200
"""In the words of a search; text towers read 16 to 77 tokens."""

MOST_FOUND = 2000
"""Images of a search that are kept, the most similar ones."""

KEPT_SEARCHES = 20

REPRESENTATION = "text representation"
"""Name of a setting: the backbone with text that the training worker has, by name."""


@dataclass(frozen=True, eq=False)
class Search:
    """A search by words.

    Attributes:
        number: given by :meth:`Searches.request`.
        words: as they were searched for.
        ids: the images, the most similar first; None until it is answered.
        similarities: cosine similarity of each image and the words, in −1..1.
        unread: images that have no features yet, so that they were not searched.
        problem: why it cannot be answered; empty otherwise.
    """

    number: int
    words: str
    ids: Int64[np.ndarray, " n"] | None
    similarities: Float32[np.ndarray, " n"] | None
    unread: int
    problem: str


class Searches:
    """The searches of a project."""

    def __init__(self, database: ProjectDatabase) -> None:
        self._database = database

    def representation(self) -> str:
        """The backbone with text by whose features images are searched; empty where there is none."""
        with self._database.snapshot() as connection:
            return str(read_setting(connection, REPRESENTATION, ""))

    def set_representation(self, name: str) -> None:
        """Store the name of the backbone with text; empty where the project has none."""
        if name != self.representation():
            with self._database.transaction() as connection:
                write_setting(connection, REPRESENTATION, name)

    def request(self, words: str) -> int:
        """Request a search; its number. One that waits for the same words is not requested again.

        Raises:
            BadInput: there are no words or too many letters, the representation has no text, or no worker runs.
        """
        text = " ".join("".join(each if each.isprintable() else " " for each in words).split())
        if not text:
            raise BadInput("There are no words to search for.", "Describe an image, such as: a dog on grass.")
        if len(text) > MOST_LETTERS:
            raise BadInput(
                f"A search of {len(text)} letters is too long.", f"Give {MOST_LETTERS} letters or fewer."
            )
        with self._database.transaction() as connection:
            if not read_setting(connection, REPRESENTATION, ""):
                raise BadInput(
                    "The representation of this project has no text.",
                    "Choose one of CLIP or SigLIP, such as --representation hf:openai/clip-vit-base-patch32.",
                )
            state = TrainingState(**read_setting(connection, "training", {"phase": "off"}))
            if state.phase in ("off", "failed"):
                raise BadInput(
                    f"Searches are answered by the training worker. {state.message or 'Training is off.'}",
                    "Run aral label again.",
                )
            waiting = connection.execute(
                "SELECT number FROM searches WHERE words = ? AND ids IS NULL AND problem = ''", (text,)
            ).fetchone()
            if waiting is not None:
                return int(waiting[0])
            (number,) = connection.execute(
                "INSERT INTO searches (words) VALUES (?) RETURNING number", (text,)
            ).fetchone()
            connection.execute("DELETE FROM searches WHERE number <= ?", (number - KEPT_SEARCHES,))
        return int(number)

    def get(self, number: int) -> Search:
        """A search.

        Raises:
            BadInput: there is none of this number any more.
        """
        rows = self._database.rows(
            "SELECT words, ids, similarities, unread, problem FROM searches WHERE number = ?", (number,)
        )
        if not rows:
            raise BadInput("This search is not kept any more.", "Search again.")
        words, ids, similarities, unread, problem = rows[0]
        return Search(
            number,
            words,
            None if ids is None else np.frombuffer(ids, np.int64),
            None if similarities is None else np.frombuffer(similarities, np.float32),
            unread,
            problem,
        )

    # The training worker

    def waiting(self) -> Sequence[tuple[int, str]]:
        """Number and words of the searches that are not answered yet, the oldest first."""
        return self._database.rows(
            "SELECT number, words FROM searches WHERE ids IS NULL AND problem = '' ORDER BY number"
        )

    def answer(
        self,
        number: int,
        ids: Int64[np.ndarray, " n"],
        similarities: Float32[np.ndarray, " n"],
        unread: int,
    ) -> None:
        """Store what was found: the :data:`MOST_FOUND` most similar images; of equal ones, the lower id first.

        Args:
            number: of the search.
            ids: the images, in any order.
            similarities: of each to the words.
            unread: images without features.
        """
        order = np.lexsort((ids, -similarities))[:MOST_FOUND]
        with self._database.transaction(durable=False) as connection:
            connection.execute(
                "UPDATE searches SET ids = ?, similarities = ?, unread = ? WHERE number = ?",
                (
                    ids[order].astype(np.int64).tobytes(),
                    similarities[order].astype(np.float32).tobytes(),
                    unread,
                    number,
                ),
            )

    def refuse(self, number: int, problem: str) -> None:
        """Store why a search cannot be answered."""
        with self._database.transaction(durable=False) as connection:
            connection.execute("UPDATE searches SET problem = ? WHERE number = ?", (problem, number))
