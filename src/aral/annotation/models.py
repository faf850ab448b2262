"""The trained models with their figures, the state of the training worker, and the advice on more labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from aral.annotation.database import Connection, ProjectDatabase, read_setting, utc_now, write_setting
from aral.annotation.estimate import Estimate
from aral.errors import BadInput

Phase = Literal["idle", "reading", "training", "choosing", "failed", "off"]
"""What the training worker does; ``reading``: the features of the images; ``off`` when none runs."""


@dataclass(frozen=True)
class ClassFigure:
    """The figures of one class: its number of labels for training, and its recall on the estimate set."""

    class_id: int
    labels: int
    recall: Estimate | None


@dataclass(frozen=True)
class ModelRecord:
    """A trained classifier and its figures.

    Attributes:
        round: the round of labels it was trained on, from 0.
        folder: its sealed folder, relative to the project's folder.
        trained_on: count of labels it was trained on.
        seconds: how long that took.
        class_ids: the classes in the order of its outputs.
        estimate: accuracy on the estimate set; None while that has no labels.
        per_class: figures by class.
        confusion: ``confusion[i][j]`` counts images of the estimate set with class ``class_ids[i]`` that
            it predicts as ``class_ids[j]``.
        curve_point: labels given in all and accuracy, as the learning curve shows them; None to leave out.
        newest_answer: ``seq`` of the newest answer it was trained on; 0 when unknown.
        method: the learner; empty for models of earlier versions.
        reason: why this learner is used, one sentence; empty where there was no choice.
        number: given by :meth:`Models.record`, from 1; 0 before.
        recorded_at: UTC in ISO 8601; empty before.
    """

    round: int
    folder: str
    trained_on: int
    seconds: float
    class_ids: tuple[int, ...]
    estimate: Estimate | None = None
    per_class: tuple[ClassFigure, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    curve_point: tuple[int, float] | None = None
    newest_answer: int = 0
    method: str = ""
    reason: str = ""
    number: int = 0
    recorded_at: str = ""


@dataclass(frozen=True)
class TrainingState:
    """What the training worker is doing.

    Attributes:
        phase: the kind of work.
        round: the round it works on; None before the first.
        fraction: how much of the work is done, in 0..1.
        message: one sentence for display; may be empty.
        updated: UTC in ISO 8601, set when it is stored.
    """

    phase: Phase
    round: int | None = None
    fraction: float = 0.0
    message: str = ""
    updated: str = ""


@dataclass(frozen=True)
class Advice:
    """The expected gain of accuracy from the next labels.

    Attributes:
        next_labels: how many labels.
        gain: in percentage points.
        low: lower end of its interval.
        high: upper end.
        sentence: the same as a sentence for display.
    """

    next_labels: int
    gain: float
    low: float
    high: float
    sentence: str


class Models:
    """Trained models; each method of the training worker may be repeated after a kill."""

    def __init__(self, database: ProjectDatabase) -> None:
        self._database = database

    def record(self, model: ModelRecord) -> int:
        """Record a model and give its number; one with the same folder is replaced and keeps its number."""
        body = json.dumps(asdict(replace(model, number=0, recorded_at="")))
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT number FROM models WHERE json_extract(body, '$.folder') = ?", (model.folder,)
            ).fetchone()
            if row is None:
                row = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM models").fetchone()
            number = int(row[0])
            connection.execute(
                "INSERT INTO models VALUES (?, ?, ?) ON CONFLICT (number) DO UPDATE SET body = excluded.body",
                (number, body, utc_now()),
            )
        return number

    def all(self) -> list[ModelRecord]:
        """All recorded models in order of their numbers."""
        rows = self._database.rows("SELECT number, body, recorded_at FROM models ORDER BY number")
        return [_model(number, json.loads(body), recorded_at) for number, body, recorded_at in rows]

    def newest(self) -> ModelRecord | None:
        """The newest model; None before the first."""
        rows = self._database.rows(
            "SELECT number, body, recorded_at FROM models ORDER BY number DESC LIMIT 1"
        )
        return _model(rows[0][0], json.loads(rows[0][1]), rows[0][2]) if rows else None

    def newest_number(self) -> int | None:
        """The number of the newest model; None before the first. Cheap: no model is parsed."""
        (number,) = self._database.row("SELECT max(number) FROM models")
        return None if number is None else int(number)

    def newest_estimate(self) -> Estimate | None:
        """The accuracy estimate of the newest model that has one. Cheap: no model is parsed."""
        rows = self._database.rows(
            """SELECT json_extract(body, '$.estimate') FROM models
            WHERE json_extract(body, '$.estimate') IS NOT NULL ORDER BY number DESC LIMIT 1"""
        )
        return _estimate(json.loads(rows[0][0])) if rows else None

    def set_training_state(self, state: TrainingState) -> None:
        """Store what the training worker does."""
        self._set("training", asdict(replace(state, updated=utc_now())))

    def training_state(self) -> TrainingState:
        """What the training worker stored last; ``off`` before that."""
        stored = self._get("training")
        return TrainingState("off") if stored is None else TrainingState(**stored)

    def set_advice(self, advice: Advice | None) -> None:
        """Store the expected gain from the next labels; None when it is unknown."""
        self._set("advice", None if advice is None else asdict(advice))

    def advice(self) -> Advice | None:
        """The expected gain from the next labels; None when it is unknown."""
        stored = self._get("advice")
        return None if stored is None else Advice(**stored)

    def set_generated_images(self, model_number: int, jpeg: bytes) -> None:
        """Store one picture with images that a model has generated.

        Raises:
            BadInput: the model is unknown, or these are not the bytes of a JPEG file.
        """
        if not jpeg.startswith(b"\xff\xd8"):
            raise BadInput("A picture of generated images must be a JPEG file.")
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO pictures VALUES (?, ?) "
                "ON CONFLICT (model_number) DO UPDATE SET jpeg = excluded.jpeg",
                (model_number, jpeg),
            )

    def hide_generated_images(self, model_number: int, reason: str) -> None:
        """Store why the images that a model has generated are not shown, as a sentence, and remove their picture."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM pictures WHERE model_number = ?", (model_number,))
            write_setting(connection, "hidden generated images", {"model": model_number, "reason": reason})

    def hidden_generated_images(self, model_number: int) -> str:
        """Why the images that a model has generated are not shown; empty if they are, or if it generates none."""
        stored = self._get("hidden generated images")
        return str(stored["reason"]) if stored and stored["model"] == model_number else ""

    def generated_images(self, model_number: int | None = None) -> bytes | None:
        """The picture of a model, or the newest one; None when there is none."""
        rows = self._database.rows(
            "SELECT jpeg FROM pictures WHERE model_number = coalesce(?, model_number) "
            "ORDER BY model_number DESC LIMIT 1",
            (model_number,),
        )
        return bytes(rows[0][0]) if rows else None

    def _set(self, name: str, value: object) -> None:
        with self._database.transaction() as connection:
            write_setting(connection, name, value)

    def _get(self, name: str) -> dict[str, Any] | None:
        with self._database.snapshot() as connection:
            stored: dict[str, Any] | None = read_setting(connection, name, None)
        return stored


def is_reading(connection: Connection) -> bool:
    """Whether the training worker is reading the images, so that there may be no query yet."""
    state = read_setting(connection, "training", None)
    return state is not None and state["phase"] == "reading"


def newest_answer_learned(connection: Connection) -> int:
    """``seq`` of the newest answer that the newest model was trained on; 0 when unknown."""
    row = connection.execute(
        "SELECT json_extract(body, '$.newest_answer') FROM models ORDER BY number DESC LIMIT 1"
    ).fetchone()
    return int(row[0]) if row else 0


def _model(number: int, body: Mapping[str, Any], recorded_at: str) -> ModelRecord:
    point = body["curve_point"]
    return ModelRecord(
        round=body["round"],
        folder=body["folder"],
        trained_on=body["trained_on"],
        seconds=body["seconds"],
        class_ids=tuple(body["class_ids"]),
        estimate=_estimate(body["estimate"]),
        per_class=tuple(
            ClassFigure(figure["class_id"], figure["labels"], _estimate(figure["recall"]))
            for figure in body["per_class"]
        ),
        confusion=tuple(tuple(row) for row in body["confusion"]),
        curve_point=None if point is None else (point[0], point[1]),
        newest_answer=body["newest_answer"],
        method=body.get("method", ""),
        reason=body.get("reason", ""),
        number=number,
        recorded_at=recorded_at,
    )


def _estimate(stored: Mapping[str, Any] | None) -> Estimate | None:
    return None if stored is None else Estimate(**stored)
