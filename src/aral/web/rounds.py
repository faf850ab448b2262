"""What the rounds so far have come to: the curve, the classes, the mistakes, the doubts, the people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from fastapi import FastAPI

from aral.annotation import Label, ModelRecord, Project, SuspectLabel
from aral.web.grid import cell_json
from aral.web.replies import Json

DOUBTS = 40
GALLERY = 12
NEAR_GROUPS = 24
LISTED_FILES = 200


def add_routes(app: FastAPI, project: Project) -> None:
    """``/api/round`` and ``/api/conflicts``."""

    @app.get("/api/round")
    def newest_round() -> Json:
        """Everything the progress view shows."""
        models = project.models.all()
        labels = project.labels.all()
        near = project.images.near_duplicates()
        unreadable = project.images.unreadable()
        return Json(
            {
                "curve": [_point(model) for model in models if model.curve_point is not None],
                "model": _model(models[-1]) if models else None,
                "gallery": gallery(project, labels),
                "disagreements": [_doubt(project, each) for each in project.labels.suspects(DOUBTS)],
                "near": {"groups": _tiles(project, near[:NEAR_GROUPS]), "count": len(near)},
                "generated": models[-1].number
                if models and project.models.generated_images(models[-1].number)
                else None,
                "agreement": asdict(project.labels.agreement()),
                "anchoring": asdict(project.labels.anchoring()),
                "conflicts": len(project.labels.disagreements()),
                "unreadable": {
                    "count": len(unreadable),
                    "files": [asdict(each) for each in unreadable[:LISTED_FILES]],
                },
            }
        )

    @app.get("/api/conflicts")
    def conflicts() -> Json:
        """Images on which people disagree without a majority, with every vote."""
        found = [
            {
                **cell_json(project.images.get(each.image_id), None, True),
                "votes": [
                    {"annotator": name, "action": action, "class_id": class_id}
                    for name, action, class_id in each.votes
                ],
            }
            for each in project.labels.disagreements()
        ]
        return Json({"conflicts": found})


def gallery(project: Project, labels: Iterable[Label]) -> list[dict[str, object]]:
    """For each class with labels the images labelled last."""
    by_class: dict[int, list[Label]] = {}
    for label in sorted(labels, key=lambda label: -label.seq):
        if not label.inherited:
            by_class.setdefault(label.class_id, []).append(label)
    return [
        {
            "class_id": each.id,
            "count": len(by_class.get(each.id, [])),
            "cells": [
                cell_json(project.images.get(label.image_id), None, True)
                for label in by_class.get(each.id, [])[:GALLERY]
            ],
        }
        for each in project.classes.all()
    ]


def _point(model: ModelRecord) -> dict[str, object]:
    """A point of the learning curve; the interval where the slice was measured."""
    assert model.curve_point is not None
    labels, accuracy = model.curve_point
    estimate = model.estimate
    return {
        "labels": labels,
        "accuracy": accuracy,
        "low": estimate.low if estimate else None,
        "high": estimate.high if estimate else None,
    }


def _model(model: ModelRecord) -> dict[str, object]:
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


def _doubt(project: Project, each: SuspectLabel) -> dict[str, object]:
    image = project.images.get(each.image_id)
    return {
        **cell_json(image, each.suggestion, True),
        "class_id": each.class_id,
        "annotators": list(each.annotators),
    }


def _tiles(project: Project, groups: Iterable[tuple[int, ...]]) -> list[list[dict[str, object]]]:
    return [[cell_json(project.images.get(id), None, False) for id in ids] for ids in groups]
