"""How far labelling and training are: the status bar, which every open page polls, and the progress view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from threading import Lock
from typing import Annotated

from fastapi import FastAPI, Query

from aral.annotation import Label, ModelRecord, Project, SuspectLabel
from aral.annotation.predictions import zero_shot_sentence
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
        """Counts, pace, estimate, the trainer's state and advice.

        ``model`` is the number of the newest model, and ``suggestions`` that of the model that makes the suggestions;
        it is negative for zero-shot ones. Both are null before there are any. ``search`` says whether images can be
        searched by words.

        ``finish`` is null until the budget is spent; ``estimate_missing`` names the classes that the estimate
        set lacks once it is answered.

        ``changed`` says whether the project has changed since the count of changes ``since``.
        Renews the leases of the images that the page holds as cards and shows as tiles of its grid.
        """
        shown = None if tiles is None else image_ids("tiles", tiles)
        project.queue.renew_leases(annotator, image_ids("holding", holding), shown, tab)
        current, finish = snapshot.get(), project.finish(annotator)
        return Json(
            {
                **current,
                "changed": current["changes"] != since,
                "finish": asdict(finish) if finish else None,
                "pace": asdict(project.pace(annotator)),
            }
        )

    @app.get("/api/round")
    def newest_round() -> Json:
        """Everything the progress view shows."""
        models = project.models.all()
        newest = models[-1] if models else None
        near, zero_shot = project.images.near_duplicates(), project.predictions.zero_shot()
        unreadable = project.images.unreadable()
        return Json(
            {
                "curve": [_point(model) for model in models if model.curve_point is not None],
                "model": _model_json(newest) if newest else None,
                "zero_shot": zero_shot_sentence(zero_shot) if zero_shot else None,
                "gallery": gallery(project, project.labels.all()),
                "suspects": [_suspect_json(project, each) for each in project.labels.suspects(MOST_SUSPECTS)],
                "near": {
                    "groups": [
                        [cell_json(project, id, None, False) for id in ids] for ids in near[:MOST_NEAR_GROUPS]
                    ],
                    "count": len(near),
                },
                "generated": newest.number
                if newest and project.models.generated_images(newest.number)
                else None,
                "hidden_generated": project.models.hidden_generated_images(newest.number) if newest else "",
                "agreement": asdict(project.labels.agreement()),
                "anchoring": asdict(project.labels.anchoring()),
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
            for each in project.labels.disagreements()
        ]
        return Json({"disagreements": found})


class StatusSnapshot:
    """The part of the status that is the same for all annotators, read once per change of the project.

    Every open page polls the status every two seconds, before the first model twice a second. Between two changes a
    poll reads nothing here but the change counter: no model is parsed and no class is hashed again.
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
        estimate, advice = project.models.newest_estimate(), project.models.advice()
        return {
            "revision": project.classes.revision(),
            "images": project.images.count(),
            "budget": project.settings.get().budget,
            "counts": asdict(project.labels.counts()),
            "queue_left": project.queue.remaining(),
            "query": project.queue.newest_round(),
            "training": asdict(project.models.training_state()),
            "model": project.models.newest_number(),
            "suggestions": project.predictions.number() or None,
            "search": bool(project.searches.representation()),
            "estimate": asdict(estimate) if estimate else None,
            "estimate_missing": list(project.labels.missing_in_estimate()),
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
        for each in project.classes.all()
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
        "method": model.method,
        "reason": model.reason,
        "seconds": model.seconds,
        "recorded_at": model.recorded_at,
        "class_ids": list(model.class_ids),
        "per_class": [asdict(each) for each in model.per_class],
        "confusion": [list(row) for row in model.confusion],
    }


def _suspect_json(project: Project, each: SuspectLabel) -> dict[str, object]:
    """A label that contradicts a model which was not trained on it."""
    return {
        **cell_json(project, each.image_id, each.suggestion, True),
        "class_id": each.class_id,
        "annotators": list(each.annotators),
    }
