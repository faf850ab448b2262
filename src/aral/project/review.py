"""What to look at again: the grid, and labels that the model doubts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from threading import Lock

import numpy as np
from jaxtyping import Int64

from aral.project.answer_records import Label
from aral.project.database import ProjectDatabase
from aral.project.figures import Disagreement, GridCell
from aral.project.leases import suggestion_of
from aral.project.predictions import NewestPredictions, PredictionTable
from aral.project.records import Suggestion
from aral.project.withholding import in_hidden_tenth, is_withheld


class Review:
    """Pages of the grid and doubtful labels."""

    def __init__(self, database: ProjectDatabase, predictions: NewestPredictions) -> None:
        self._database = database
        self._predictions = predictions
        self._lock = Lock()
        self._laid_out: tuple[int, Int64[np.ndarray, " N"]] = (0, np.empty(0, np.int64))

    def predictions_page(self, offset: int, count: int) -> list[GridCell]:
        """As :meth:`aral.project.Project.predictions_page`."""
        table = self._predictions.table()
        with self._lock:
            if self._laid_out[0] != table.model_number:
                self._laid_out = (table.model_number, self._lay_out(table))
            ids = self._laid_out[1]
        return self.cells(ids[max(0, offset) : max(0, offset) + max(0, count)].tolist())

    def _lay_out(self, table: PredictionTable) -> Int64[np.ndarray, " N"]:
        """The images open now whose suggestion may be seen, by predicted class and falling probability."""
        rows = self._database.rows("SELECT id FROM images WHERE open = 1 AND estimate = 0")
        ids = np.array([image_id for (image_id,) in rows], dtype=np.int64)
        is_open = np.isin(table.ids, ids[~np.array(in_hidden_tenth(ids.tolist()), dtype=bool)])
        classes = np.array([table.merges[class_id] for class_id in table.classes.tolist()], dtype=np.int64)
        order = np.lexsort((table.ids, -table.probabilities, classes))
        return table.ids[order[is_open[order]]]

    def unlabelled_page(self, offset: int, count: int) -> list[GridCell]:
        """As :meth:`aral.project.Project.unlabelled_page`."""
        rows = self._database.rows(
            "SELECT id FROM images WHERE open = 1 AND estimate = 0 ORDER BY shuffle LIMIT ? OFFSET ?",
            (max(0, count), max(0, offset)),
        )
        return self.cells([image_id for (image_id,) in rows])

    def cells(self, image_ids: Sequence[int]) -> list[GridCell]:
        """As :meth:`aral.project.Project.cells`."""
        table = self._predictions.table()
        found = {}
        with self._database.moment() as connection:
            for image_id in image_ids:
                row = connection.execute(
                    "SELECT name, verdicts > 0 FROM images WHERE id = ?", (image_id,)
                ).fetchone()
                if row is not None:
                    said = None if is_withheld(connection, image_id) else table.of(image_id)
                    found[image_id] = GridCell(image_id, os.fsdecode(row[0]), said, answered=bool(row[1]))
        return [found[image_id] for image_id in image_ids if image_id in found]

    def disagreements(self, labels: Sequence[Label], newest_answer: int, count: int) -> list[Disagreement]:
        """As :meth:`aral.project.Project.disagreements`.

        Args:
            labels: the labels as they stand.
            newest_answer: the newest answer that the newest model has learned from; 0 when unknown.
            count: how many at most.
        """
        table = self._predictions.table()
        at_answering = self._said_at_answering()
        decided = self._decided_twice()
        doubts = []
        for label in labels:
            # Labels that measure, corrected only where the model objects, would flatter it.
            if label.use == "estimate" or label.inherited or label.image_id in decided:
                continue
            said = table.of(label.image_id)
            if not label.seq > newest_answer > 0:
                said = at_answering.get(label.image_id, said)
            if said is None:
                continue
            class_id = table.merges[said.class_id]
            if class_id != label.class_id:
                doubts.append((Suggestion(class_id, said.probability, said.model_number), label))
        doubts.sort(key=lambda doubt: -doubt[0].probability)
        worst = doubts[: max(0, count)]
        names = {cell.image_id: cell.name for cell in self.cells([label.image_id for _, label in worst])}
        return [
            Disagreement(label.image_id, names[label.image_id], label.class_id, label.annotators, said)
            for said, label in worst
        ]

    def _said_at_answering(self) -> dict[int, Suggestion]:
        """By image what the model of that time said just before the first class was given to it."""
        rows = self._database.rows(
            """SELECT image_id, suggested_class, suggested_probability, suggested_by, min(seq) FROM answers
            WHERE action = 'class' GROUP BY image_id HAVING suggested_class IS NOT NULL"""
        )
        said = {image_id: suggestion_of(*suggested) for image_id, *suggested, _ in rows}
        return {image_id: suggestion for image_id, suggestion in said.items() if suggestion is not None}

    def _decided_twice(self) -> set[int]:
        """Images to which somebody gave a class again, knowing the doubt; they are not asked a third time."""
        rows = self._database.rows(
            """SELECT DISTINCT image_id FROM answers a WHERE action = 'class'
                AND NOT EXISTS (SELECT 1 FROM answers u WHERE u.cancels = a.seq)
            GROUP BY image_id, annotator_id HAVING count(*) > 1"""
        )
        return {image_id for (image_id,) in rows}
