"""What is always in sight; asked for every two seconds by every open page, so it has to be cheap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, Query

from aral.annotation import Estimate, ModelRecord, Project
from aral.web.cards import Annotator, ImageIds, Tab, image_ids
from aral.web.classes import revision
from aral.web.replies import LARGEST_ID, Json


def add_routes(app: FastAPI, project: Project) -> None:
    """``/api/status``."""

    @app.get("/api/status")
    def status(
        annotator: Annotator,
        since: Annotated[int | None, Query(ge=0, le=LARGEST_ID)] = None,
        holding: ImageIds = "",
        tiles: ImageIds | None = None,
        tab: Tab = "",
    ) -> Json:
        """LabelCounts, pace, estimate, the trainer's state, advice; ``changed`` compares with ``since``.

        The images that the page holds as cards, and the tiles of its grid, stay leased to it.
        """
        shown = None if tiles is None else image_ids("tiles", tiles)
        project.queue.renew_leases(annotator, image_ids("holding", holding), shown, tab)
        changes = project.changes()
        advice = project.models.advice()
        models = project.models.all()
        estimate = newest_estimate(models)
        return Json(
            {
                "changes": changes,
                "changed": changes != since,
                "revision": revision(project),
                "images": project.images.count(),
                "budget": project.settings.get().budget,
                "counts": asdict(project.labels.counts()),
                "pace": asdict(project.pace(annotator)),
                "queue_left": project.queue.remaining(),
                "training": asdict(project.models.training_state()),
                "model": models[-1].number if models else None,
                "estimate": asdict(estimate) if estimate else None,
                "advice": asdict(advice) if advice else None,
            }
        )


def newest_estimate(models: Sequence[ModelRecord]) -> Estimate | None:
    """The accuracy of the newest model that was measured."""
    return next((model.estimate for model in reversed(models) if model.estimate is not None), None)
