"""What to look at again: images as cells, and labels that the model doubts."""

from __future__ import annotations

import os
from collections.abc import Sequence

from aral.annotation.answer_records import Label
from aral.annotation.database import ProjectDatabase
from aral.annotation.figures import Disagreement, GridCell
from aral.annotation.leases import suggestion_of
from aral.annotation.predictions import NewestPredictions
from aral.annotation.records import Suggestion
from aral.annotation.withholding import is_withheld


class Review:
    """Cells of the grid and doubtful labels."""

    def __init__(self, database: ProjectDatabase, predictions: NewestPredictions) -> None:
        self._database = database
        self._predictions = predictions

    def cells(self, image_ids: Sequence[int]) -> list[GridCell]:
        """As :meth:`aral.annotation.Project.cells`."""
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
        """As :meth:`aral.annotation.Project.disagreements`.

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
            WHERE action = 'class' GROUP BY image_id HAVING suggested_class IS NOT NULL
            AND suggested_class NOT IN (SELECT id FROM classes WHERE removed = 1)"""
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
