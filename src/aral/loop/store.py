"""The store of a run: what was asked, answered, trained and measured, safe against a kill at any moment."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Int64

from aral.errors import BadInput
from aral.loop.database import Database
from aral.loop.label_events import answer_of, insert_answer, insert_query, insert_undo, selection_of
from aral.loop.lock import FolderLock
from aral.loop.records import Records
from aral.loop.rows import AnswerRow
from aral.types import Answer, Ids, Selection

FILE_NAME = "store.sqlite"


class Store(Records):
    """The recorded state of one run folder, held by one process at a time.

    Use it in a ``with`` block, in the thread and the process that opened it.
    """

    def __init__(self, folder: Path, lock: FolderLock, database: Database) -> None:
        super().__init__(database)
        self.folder = folder
        self._lock = lock

    @classmethod
    def open(cls, folder: Path, create: bool) -> Store:
        """Open the store of a run folder and lock the folder.

        Args:
            folder: the run folder; a new one is for its owner alone.
            create: make the folder and the store where they are missing; an existing store is kept.

        Raises:
            BadInput: the folder is missing, in use by a process (named), or its store cannot be used.
        """
        _prepare_folder(folder, create)
        lock = FolderLock(folder)
        try:
            return cls(folder, lock, Database(folder / FILE_NAME, create))
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Let go of the file, then of the folder; a second call does nothing."""
        self._database.close()
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record_query(self, round: int, selection: Selection) -> None:
        """Record the images asked for in a round, all or none; an identical query changes nothing.

        Raises:
            BadInput: the selection is empty, the round has another query, or an image of it waits for its
                answer in another round or has a class. A skipped or unsure image may be asked for again.
        """
        with self._database.transaction() as connection:
            insert_query(connection, round, selection)

    def query(self, round: int) -> Selection | None:
        """The recorded query of a round, with float64 scores; None if there is none."""
        return selection_of(
            self._database.rows(
                "SELECT image_id, score, reason, acquisition FROM queries WHERE round = ? ORDER BY position",
                (round,),
            )
        )

    def unanswered(self, round: int) -> Ids:
        """Ids of a round's query without a valid answer from that round or later, most wanted first."""
        rows = self._database.rows(
            "SELECT image_id FROM open_queries WHERE round = ? ORDER BY position", (round,)
        )
        return np.array([image_id for (image_id,) in rows], dtype=np.int64)

    def record_answers(self, answers: list[tuple[Answer, str]], round: int, annotator: str) -> None:
        """Append answers, each with a uuid made by its sender; a uuid seen before adds nothing.

        Args:
            answers: answers and uuids, the oldest first.
            round: the round in which they arrived, at least that of the query they answer.
            annotator: who answered.

        Raises:
            BadInput: a uuid names an event with another content, or a number is negative; nothing is added.
        """
        with self._database.transaction() as connection:
            for answer, uuid in answers:
                insert_answer(connection, answer, uuid, round, annotator)

    def undo(self, image_id: int, uuid: str) -> None:
        """Append an event that cancels the newest answer of an image; a further one cancels that before.

        Raises:
            BadInput: no answer of the image is left, or the uuid names another event.
        """
        with self._database.transaction() as connection:
            insert_undo(connection, int(image_id), uuid)

    def answers(self) -> list[Answer]:
        """The newest valid answer of every answered image, in ascending order of id."""
        rows = self._database.rows(
            "SELECT image_id, kind, class_index FROM current_answers ORDER BY image_id"
        )
        return [answer_of(*row) for row in rows]

    def labels(self) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
        """Ids, ascending, and class indices of the images whose newest valid answer is a class."""
        rows = self._database.rows(
            "SELECT image_id, class_index FROM current_answers WHERE kind = 'class' ORDER BY image_id"
        )
        ids, classes = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        return ids.copy(), classes.copy()

    def answer_history(self) -> list[AnswerRow]:
        """Every event of labelling, undone ones and undos included, in the order of recording."""
        columns = "seq, uuid, image_id, round, kind, class_index, cancels, annotator, created_at"
        return [AnswerRow(*row) for row in self._database.rows(f"SELECT {columns} FROM answers ORDER BY seq")]


def _prepare_folder(folder: Path, create: bool) -> None:
    """Make a run folder, or check that it is there; one that holds things already keeps its rights."""
    try:
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not any(folder.iterdir()):
                folder.chmod(0o700)
    except OSError as error:
        raise BadInput(f"Run folder {folder} cannot be made: {error}.", "Give another folder.") from error
    if not folder.is_dir():
        raise BadInput(f"There is no run folder {folder}.", "Check the path, or start a new run there.")
