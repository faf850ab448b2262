"""What the newest model says of every image, in blocks of a few thousand images.

A block is one short transaction: while a hundred thousand predictions are being stored, people go on
answering. They come into force together, when the last block is there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from jaxtyping import Float, Float32, Int64

from aral.annotation.database import Part, ProjectDatabase, read_setting, write_setting
from aral.annotation.records import Suggestion
from aral.annotation.standing import live_class_of
from aral.errors import BadInput
from aral.words import counted

BLOCK_IMAGES = 4096
BLOCK_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """The predictions of one model.

    Attributes:
        model_number: the model; 0 for none.
        ids: the images, ascending.
        classes: the most probable class of each, as the model knew the classes.
        probabilities: its probability in 0..1.
        merges: live class by class.
    """

    model_number: int
    ids: Int64[np.ndarray, " N"]
    classes: Int64[np.ndarray, " N"]
    probabilities: Float32[np.ndarray, " N"]
    merges: Mapping[int, int]

    def of(self, image_id: int) -> Suggestion | None:
        """What the model says of an image; None when it was not asked."""
        row = int(np.searchsorted(self.ids, image_id))
        if row == self.ids.size or self.ids[row] != image_id:
            return None
        return self.at(row)

    def at(self, row: int) -> Suggestion:
        """What the model says of the image in a row of this table."""
        class_id = self.merges[int(self.classes[row])]
        return Suggestion(class_id, float(self.probabilities[row]), self.model_number)


class NewestPredictions:
    """The predictions in force, kept in memory until others come into force or classes are merged or removed."""

    def __init__(self, database: ProjectDatabase) -> None:
        self._database = database
        self._lock = Lock()
        self._state: tuple[object, ...] = ()
        self._table = _EMPTY

    def table(self) -> PredictionTable:
        """The predictions as they are now."""
        rows = self._database.rows(
            "SELECT (SELECT value FROM settings WHERE name = 'predictions'), "
            "(SELECT count(*) FROM classes WHERE merged_into IS NOT NULL OR removed = 1)"
        )
        with self._lock:
            if rows[0] != self._state:
                self._table = self._read()
                self._state = rows[0]
            return self._table

    def _read(self) -> PredictionTable:
        with self._database.moment() as connection:
            number = int(read_setting(connection, "predictions", 0))
            blocks = connection.execute(
                "SELECT ids, top, probability FROM predictions WHERE model_number = ? ORDER BY block",
                (number,),
            ).fetchall()
            merges = live_class_of(connection)
            removed = [
                class_id for (class_id,) in connection.execute("SELECT id FROM classes WHERE removed = 1")
            ]
        if not blocks:
            return _EMPTY
        ids, top, probability = (b"".join(column) for column in zip(*blocks, strict=True))
        classes = np.frombuffer(top, np.int64)
        kept = ~np.isin(classes, np.array(removed, dtype=np.int64))
        return PredictionTable(
            number,
            np.frombuffer(ids, np.int64)[kept],
            classes[kept],
            np.frombuffer(probability, np.float32)[kept],
            merges,
        )


_EMPTY = PredictionTable(0, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), {})


class PredictionsPart(Part):
    """The newest model's predictions."""

    def __init__(self, database: ProjectDatabase) -> None:
        super().__init__(database)
        self._predictions = NewestPredictions(database)

    def set_predictions(
        self,
        model_number: int,
        ids: Int64[np.ndarray, " N"],
        class_ids: Sequence[int],
        probabilities: Float[np.ndarray, "N K"],
    ) -> None:
        """Store what a model says of images; when this returns, it is what suggestions are made of.

        Repeated after a kill, it starts anew; until it returns the model before stays in force.

        Args:
            model_number: as :meth:`record_model` gave it.
            ids: the images, in any order, each once.
            class_ids: the classes of the K columns.
            probabilities: N×K in 0..1; kept with eleven bits of precision.

        Raises:
            BadInput: an id, class or model is unknown, or a probability is no number in 0..1.
        """
        self._check(model_number, ids, class_ids, probabilities)
        order = np.argsort(ids)
        top = probabilities.argmax(axis=1)
        with self._database.transaction(noticed=False, durable=False) as connection:
            connection.execute("DELETE FROM predictions WHERE model_number = ?", (model_number,))
        step = max(1, min(BLOCK_IMAGES, BLOCK_BYTES // (2 * probabilities.shape[1])))
        for block, start in enumerate(range(0, ids.size, step)):
            rows = order[start : start + step]
            columns = (
                ids[rows].astype(np.int64),
                np.asarray(class_ids, dtype=np.int64)[top[rows]],
                probabilities[rows, top[rows]].astype(np.float32),
                probabilities[rows].astype(np.float16),
            )
            started = time.monotonic()
            with self._database.transaction(noticed=False, durable=False) as connection:
                connection.execute(
                    "INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)",
                    (model_number, block, *(column.tobytes() for column in columns)),
                )
            time.sleep(min(time.monotonic() - started, 0.05))  # let those who answer have their turn
        with self._database.transaction() as connection:
            write_setting(connection, "predictions", model_number)
        with self._database.transaction(noticed=False, durable=False) as connection:
            connection.execute("DELETE FROM predictions WHERE model_number <> ?", (model_number,))

    def _check(
        self,
        model_number: int,
        ids: Int64[np.ndarray, " N"],
        class_ids: Sequence[int],
        probabilities: Float[np.ndarray, "N K"],
    ) -> None:
        with self._database.moment() as connection:
            classes = set(live_class_of(connection))
            model = connection.execute("SELECT 1 FROM models WHERE number = ?", (model_number,)).fetchone()
            (images,) = connection.execute("SELECT coalesce(max(id) + 1, 0) FROM images").fetchone()
        if model is None:
            raise BadInput(f"There is no model {model_number}.", "Record the model first.")
        if not ids.size or not class_ids or not set(class_ids) <= classes:
            raise BadInput(f"Predictions need images and known classes, not {list(class_ids)}.")
        if np.unique(ids).size != ids.size or not 0 <= ids.min() <= ids.max() < images:
            raise BadInput("Predictions need each image once, and only images of this project.")
        if probabilities.shape != (ids.size, len(class_ids)):
            raise BadInput(
                f"{counted(ids.size, 'image')} and {counted(len(class_ids), 'class', 'classes')} do not fit "
                f"{probabilities.shape} probabilities."
            )
        if not (
            np.isfinite(probabilities).all() and 0 <= probabilities.min() <= probabilities.max() <= 1.001
        ):
            raise BadInput("Some probabilities are no numbers from 0 to 1.", "Look at the model's outputs.")

    def prediction(self, image_id: int) -> Suggestion | None:
        """What the newest model says of an image; None without a model or for an image it was not asked."""
        return self._predictions.table().of(image_id)
