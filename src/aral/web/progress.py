"""How far labelling and training are: the status bar, which every open page polls, and the progress view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from threading import Lock
from typing import Annotated

from fastapi import FastAPI, Query

from aral.annotation import Disagreement, Label, ModelRecord, Project
from aral.web.classes import revision
from aral.web.grid import cell_json
from aral.web.parameters import LARGEST_ID, Annotator, ImageIds, Tab, image_ids
from aral.web.responses import Json

MOST_SUSPECTS = 40
MOST_EXAMPLES = 12
MOST_NEAR_GROUPS = 24
MOST_FILES = 200


def add_routes(app: FastAPI, project: Project) -> None:
    """``/api/status``, ``/api/round`` and ``/api/disagreements``."""
    snapshot = StatusSnapshot(project)

    @app.get("/api/status")
    def status(
        annotator: Annotator,
        since: Annotated[int | None, Query(ge=0, le=LARGEST_ID)] = None,
        holding: ImageIds = "",
        tiles: ImageIds | None = None,
        tab: Tab = "",
    ) -> Json:
        """Counts, pace, estimate, the trainer's state, advice; ``changed`` compares with ``since``.

        Renews the leases of the images that the page holds as cards and shows as tiles of its grid.
        """
        shown = None if tiles is None else image_ids("tiles", tiles)
        project.keep_leases(annotator, image_ids("holding", holding), shown, tab)
        current = snapshot.get()
        return Json(
            {**current, "changed": current["changes"] != since, "pace": asdict(project.pace(annotator))}
        )

    @app.get("/api/round")
    def newest_round() -> Json:
        """Everything the progress view shows."""
        models = project.models()
        near = project.near_duplicates()
        unreadable = project.unreadable()
        return Json(
            {
                "curve": [_point(model) for model in models if model.curve_point is not None],
                "model": _model_json(models[-1]) if models else None,
                "gallery": gallery(project, project.labels()),
                "suspects": [_suspect_json(project, each) for each in project.disagreements(MOST_SUSPECTS)],
                "near": {
                    "groups": [
                        [cell_json(project, id, None, False) for id in ids] for ids in near[:MOST_NEAR_GROUPS]
                    ],
                    "count": len(near),
                },
                "generated": models[-1].number if models and project.generated(models[-1].number) else None,
                "agreement": asdict(project.agreement()),
                "anchoring": asdict(project.anchoring()),
                "unreadable": {
                    "count": len(unreadable),
                    "files": [asdict(each) for each in unreadable[:MOST_FILES]],
                },
            }
        )

    @app.get("/api/disagreements")
    def disagreements() -> Json:
        """Images whose annotators disagree without a majority, with every vote."""
        found = [
            {
                **cell_json(project, each.image_id, None, True),
                "votes": [
                    {"annotator": name, "action": action, "class_id": class_id}
                    for name, action, class_id in each.votes
                ],
            }
            for each in project.conflicts()
        ]
        return Json({"disagreements": found})


class StatusSnapshot:
    """The part of the status that is the same for all annotators, read once per change of the project.

    Every open page polls the status every two seconds. Between two changes a poll reads nothing here but the
    change counter: no model is parsed and no class is hashed again.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock = Lock()
        self._snapshot: dict[str, object] = {"changes": None}

    def get(self) -> Mapping[str, object]:
        """The newest snapshot."""
        with self._lock:
            # Read before the rest: a change in between belongs to a later count, so the next poll sees it.
            changes = self._project.changes()
            if self._snapshot["changes"] != changes:
                self._snapshot = {"changes": changes, **self._read()}
            return self._snapshot

    def _read(self) -> dict[str, object]:
        project = self._project
        models = project.models()
        estimate = next((each.estimate for each in reversed(models) if each.estimate is not None), None)
        advice = project.advice()
        return {
            "revision": revision(project),
            "images": project.image_count(),
            "budget": project.settings().budget,
            "counts": asdict(project.answered_count()),
            "queue_left": project.queue_left(),
            "training": asdict(project.training_state()),
            "model": models[-1].number if models else None,
            "estimate": asdict(estimate) if estimate else None,
            "advice": asdict(advice) if advice else None,
        }


def gallery(project: Project, labels: Iterable[Label]) -> list[dict[str, object]]:
    """For each class its newest labelled images."""
    by_class: dict[int, list[Label]] = {}
    for label in sorted(labels, key=lambda label: -label.seq):
        if not label.inherited:
            by_class.setdefault(label.class_id, []).append(label)
    return [
        {
            "class_id": each.id,
            "count": len(by_class.get(each.id, [])),
            "cells": [
                cell_json(project, label.image_id, None, True)
                for label in by_class.get(each.id, [])[:MOST_EXAMPLES]
            ],
        }
        for each in project.classes()
    ]


def _point(model: ModelRecord) -> dict[str, object]:
    """A point of the learning curve, with the interval if the model has an estimate."""
    assert model.curve_point is not None
    labels, accuracy = model.curve_point
    estimate = model.estimate
    return {
        "labels": labels,
        "accuracy": accuracy,
        "low": estimate.low if estimate else None,
        "high": estimate.high if estimate else None,
    }


def _model_json(model: ModelRecord) -> dict[str, object]:
    return {
        "number": model.number,
        "round": model.round,
        "trained_on": model.trained_on,
        "seconds": model.seconds,
        "recorded_at": model.recorded_at,
        "class_ids": list(model.class_ids),
        "per_class": [asdict(each) for each in model.per_class],
        "confusion": [list(row) for row in model.confusion],
    }


def _suspect_json(project: Project, each: Disagreement) -> dict[str, object]:
    """A label that contradicts a model which was not trained on it."""
    return {
        **cell_json(project, each.image_id, each.suggestion, True),
        "class_id": each.class_id,
        "annotators": list(each.annotators),
    }
