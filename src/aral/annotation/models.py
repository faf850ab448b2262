"""Trained models, their figures, and what the trainer has to say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from aral.annotation.database import Part, read_setting, utc_now, write_setting
from aral.annotation.figures import Advice, ClassFigure, Estimate, ModelRecord, TrainingState
from aral.errors import BadInput


class ModelsPart(Part):
    """What training has come to; each method of the trainer may be repeated after a kill."""

    def record_model(self, model: ModelRecord) -> int:
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
                "INSERT INTO models VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
                (number, body, utc_now()),
            )
        return number

    def models(self) -> list[ModelRecord]:
        """All recorded models in order of their numbers."""
        rows = self._database.rows("SELECT number, body, recorded_at FROM models ORDER BY number")
        return [_model(number, json.loads(body), recorded_at) for number, body, recorded_at in rows]

    def set_training_state(self, state: TrainingState) -> None:
        """Say what the trainer does."""
        self._set("training", asdict(replace(state, updated=utc_now())))

    def training_state(self) -> TrainingState:
        """What the trainer said last; ``off`` before it ever did."""
        kept = self._get("training")
        return TrainingState("off") if kept is None else TrainingState(**kept)

    def set_advice(self, advice: Advice | None) -> None:
        """Say what the next labels would bring; None when that is unknown."""
        self._set("advice", None if advice is None else asdict(advice))

    def advice(self) -> Advice | None:
        """What the next labels would bring; None when that is unknown."""
        kept = self._get("advice")
        return None if kept is None else Advice(**kept)

    def set_generated(self, model_number: int, jpeg: bytes) -> None:
        """Keep a picture of images that a model has generated.

        Raises:
            BadInput: the model is unknown, or these are not the bytes of a JPEG file.
        """
        if not jpeg.startswith(b"\xff\xd8"):
            raise BadInput("A picture of generated images must be a JPEG file.")
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?)", (model_number, jpeg))

    def generated(self, model_number: int | None = None) -> bytes | None:
        """The picture of a model, or the newest one; None when there is none."""
        rows = self._database.rows(
            "SELECT jpeg FROM pictures WHERE ?1 IS NULL OR model_number = ?1 "
            "ORDER BY model_number DESC LIMIT 1",
            (model_number,),
        )
        return bytes(rows[0][0]) if rows else None

    def _set(self, name: str, value: object) -> None:
        with self._database.transaction() as connection:
            write_setting(connection, name, value)

    def _get(self, name: str) -> dict[str, Any] | None:
        with self._database.moment() as connection:
            kept: dict[str, Any] | None = read_setting(connection, name, None)
        return kept


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
        number=number,
        recorded_at=recorded_at,
    )


def _estimate(kept: Mapping[str, Any] | None) -> Estimate | None:
    return None if kept is None else Estimate(**kept)
