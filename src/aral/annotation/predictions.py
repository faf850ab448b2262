"""The newest model's predictions of all images, suggestions made of them, and which suggestions are hidden.

Before the first model they may be **zero-shot**: probabilities of the class names by a backbone with text. Those have
negative numbers in the place of a model's, so that nothing that looks for models finds them.

Predictions are stored in blocks of a few thousand images. A block is one short transaction, so annotators can
answer while a hundred thousand predictions are being stored. All blocks replace those of the earlier model together.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from threading import Lock

import numpy as np
from jaxtyping import Float, Float32, Int64

from aral.annotation.consensus import live_class_of
from aral.annotation.database import Connection, ProjectDatabase, read_setting, write_setting
from aral.errors import BadInput
from aral.plural import counted
from aral.randomness import Stream

BLOCK_IMAGES = 4096
BLOCK_BYTES = 2**20

PREDICTIONS, ZERO_SHOT = "predictions", "zero shot"
"""Names of settings: the number of the present predictions; what the newest zero-shot ones were made of."""

HIDDEN_SHARE = 0.1
_HIDDEN = Stream.root(0).child("anchoring")


@dataclass(frozen=True)
class Suggestion:
    """The class that a model predicts for an image: the most probable live class and its probability in 0..1.

    Attributes:
        class_id: the class.
        probability: its probability.
        model_number: the model; negative for a zero-shot suggestion, which is of none.
    """

    class_id: int
    probability: float
    model_number: int

    @property
    def is_zero_shot(self) -> bool:
        """Whether it was made from the class names, without a model."""
        return self.model_number < 0


@dataclass(frozen=True)
class ZeroShot:
    """What zero-shot suggestions were made of.

    Attributes:
        representation: the backbone with text, by name.
        key: of its weights and framing.
        classes: id and name of each class.
        images: how many images were predicted.
        number: given by :meth:`Predictions.replace_by_zero_shot`, negative; 0 before.
    """

    representation: str
    key: str
    classes: tuple[tuple[int, str], ...]
    images: int
    number: int = 0


def zero_shot_sentence(made: ZeroShot) -> str:
    """That suggestions are zero-shot, as a sentence."""
    return (
        f"Suggestions are zero-shot: from the class names by {made.representation}, without any label. "
        "The first trained model replaces them."
    )


def suggestion_columns(suggestion: Suggestion | None) -> tuple[int | None, float | None, int | None]:
    """A suggestion as three columns: class, probability, model."""
    if suggestion is None:
        return None, None, None
    return suggestion.class_id, suggestion.probability, suggestion.model_number


def suggestion_of(
    class_id: int | None, probability: float | None, model_number: int | None
) -> Suggestion | None:
    """The three columns as a suggestion."""
    if class_id is None or probability is None or model_number is None:
        return None
    return Suggestion(class_id, probability, model_number)


def hides_suggestion(image_ids: Sequence[int]) -> list[bool]:
    """Whether each image is in the random tenth whose suggestions are hidden; fixed by its id."""
    hidden: list[bool] = (_HIDDEN.uniform(np.array(image_ids, dtype=np.int64)) < HIDDEN_SHARE).tolist()
    return hidden


def is_suggestion_hidden(connection: Connection, image_id: int) -> bool:
    """Whether an image's suggestion is hidden: it is in the estimate set or in the random tenth."""
    row = connection.execute("SELECT estimate FROM images WHERE id = ?", (image_id,)).fetchone()
    return (row is not None and bool(row[0])) or hides_suggestion([image_id])[0]


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """The predictions of one model.

    Attributes:
        model_number: the model; 0 for none, negative for zero-shot predictions.
        ids: the images, ascending.
        classes: the most probable class of each, as the model was trained.
        probabilities: its probability in 0..1.
        merges: live class by class.
    """

    model_number: int
    ids: Int64[np.ndarray, " N"]
    classes: Int64[np.ndarray, " N"]
    probabilities: Float32[np.ndarray, " N"]
    merges: Mapping[int, int]

    def of(self, image_id: int) -> Suggestion | None:
        """The suggestion for an image; None when the model has not predicted it."""
        row = int(np.searchsorted(self.ids, image_id))
        if row == self.ids.size or self.ids[row] != image_id:
            return None
        class_id = self.merges[int(self.classes[row])]
        return Suggestion(class_id, float(self.probabilities[row]), self.model_number)


_EMPTY = PredictionTable(0, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), {})


class Predictions:
    """The newest model's predictions; kept in memory until they change or a class is merged or removed."""

    def __init__(self, database: ProjectDatabase) -> None:
        self._database = database
        self._lock = Lock()
        self._state: tuple[object, ...] = ()
        self._table = _EMPTY

    def get(self, image_id: int) -> Suggestion | None:
        """The newest model's suggestion for an image, or a zero-shot one; None without a prediction of the image."""
        return self.table().of(image_id)

    def table(self) -> PredictionTable:
        """The predictions of the newest model."""
        state = self._database.row(
            "SELECT (SELECT value FROM settings WHERE name = 'predictions'), "
            "(SELECT count(*) FROM classes WHERE merged_into IS NOT NULL OR removed = 1)"
        )
        with self._lock:
            if state != self._state:
                self._table = self._read()
                self._state = state
            return self._table

    def _read(self) -> PredictionTable:
        with self._database.snapshot() as connection:
            number = int(read_setting(connection, PREDICTIONS, 0))
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

    def replace(
        self,
        model_number: int,
        ids: Int64[np.ndarray, " N"],
        class_ids: Sequence[int],
        probabilities: Float[np.ndarray, "N K"],
    ) -> None:
        """Store a model's predictions; when this returns, they are used for suggestions.

        Until then the predictions of the earlier model are used. After a kill the call is simply repeated.

        Args:
            model_number: as :meth:`Models.record` gave it.
            ids: the images, in any order, each once.
            class_ids: the classes of the K columns.
            probabilities: N×K in 0..1; kept as float16.

        Raises:
            BadInput: an id, class or model is unknown, or a probability is not in 0..1.
        """
        with self._database.snapshot() as connection:
            model = connection.execute("SELECT 1 FROM models WHERE number = ?", (model_number,)).fetchone()
        if model is None:
            raise BadInput(f"There is no model {model_number}.", "Record the model first.")
        self._check(ids, class_ids, probabilities)
        self._store(model_number, ids, class_ids, probabilities, {})

    def replace_by_zero_shot(
        self, made: ZeroShot, ids: Int64[np.ndarray, " N"], probabilities: Float[np.ndarray, "N K"]
    ) -> int:
        """Store zero-shot predictions, as :meth:`replace` does; their number. Those of a model are never replaced.

        Args:
            made: what they were made of; the classes of the K columns.
            ids: the images, in any order, each once.
            probabilities: N×K in 0..1.

        Raises:
            BadInput: there is a model, an id or class is unknown, or a probability is not in 0..1.
        """
        with self._database.snapshot() as connection:
            (models,) = connection.execute("SELECT count(*) FROM models").fetchone()
            before = read_setting(connection, ZERO_SHOT, {"number": 0})
        if models:
            raise BadInput("Zero-shot predictions do not replace those of a model.")
        made = replace(made, images=int(ids.size), number=int(before["number"]) - 1)
        class_ids = [class_id for class_id, _ in made.classes]
        self._check(ids, class_ids, probabilities)
        self._store(made.number, ids, class_ids, probabilities, {ZERO_SHOT: asdict(made)})
        return made.number

    def number(self) -> int:
        """The number of the present predictions: a model's, 0 for none, negative for zero-shot ones. Cheap."""
        with self._database.snapshot() as connection:
            return int(read_setting(connection, PREDICTIONS, 0))

    def zero_shot(self) -> ZeroShot | None:
        """What the present predictions were made of; None where they are a model's, or there are none."""
        with self._database.snapshot() as connection:
            stored = read_setting(connection, ZERO_SHOT, None)
            number = int(read_setting(connection, PREDICTIONS, 0))
        if stored is None or stored["number"] != number:
            return None
        classes = tuple((class_id, name) for class_id, name in stored["classes"])
        return ZeroShot(**{**stored, "classes": classes})

    def _store(
        self,
        number: int,
        ids: Int64[np.ndarray, " N"],
        class_ids: Sequence[int],
        probabilities: Float[np.ndarray, "N K"],
        settings: Mapping[str, object],
    ) -> None:
        """Store predictions under a number, and settings in the transaction that makes them the present ones."""
        order = np.argsort(ids)
        top = probabilities.argmax(axis=1)
        with self._database.transaction(notify=False, durable=False) as connection:
            connection.execute("DELETE FROM predictions WHERE model_number = ?", (number,))
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
            with self._database.transaction(notify=False, durable=False) as connection:
                connection.execute(
                    "INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)",
                    (number, block, *(column.tobytes() for column in columns)),
                )
            time.sleep(min(time.monotonic() - started, 0.05))  # let waiting answers through
        with self._database.transaction() as connection:
            write_setting(connection, PREDICTIONS, number)
            for name, value in settings.items():
                write_setting(connection, name, value)
        with self._database.transaction(notify=False, durable=False) as connection:
            connection.execute("DELETE FROM predictions WHERE model_number <> ?", (number,))

    def _check(
        self,
        ids: Int64[np.ndarray, " N"],
        class_ids: Sequence[int],
        probabilities: Float[np.ndarray, "N K"],
    ) -> None:
        with self._database.snapshot() as connection:
            classes = set(live_class_of(connection))
            (images,) = connection.execute("SELECT coalesce(max(id) + 1, 0) FROM images").fetchone()
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
            raise BadInput("Some probabilities are not numbers from 0 to 1.", "Look at the model's outputs.")
