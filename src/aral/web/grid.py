"""Many images at once: by predicted class, by likeness, or those that have no answer yet."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Literal

from fastapi import FastAPI, Query

from aral.annotation import GridCell, Project, ProjectImage, Suggestion
from aral.web.cards import Annotator, Tab
from aral.web.pictures import links
from aral.web.replies import LARGEST_ID, Json

PAGE = 64

Group = Literal["predicted", "near", "unlabelled"]


def add_routes(app: FastAPI, project: Project) -> None:
    """``/api/grid``."""

    @app.get("/api/grid")
    def grid(
        annotator: Annotator,
        group: Group = "predicted",
        offset: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
        tab: Tab = "",
    ) -> Json:
        """One page of images in groups, leased to this tab; ``next`` is the offset of the page after it, if any.

        What is on somebody else's page is left out. The offset is a place in the order of the group; for
        near-duplicates it counts groups, which are never torn apart.
        """
        if group == "near":
            return Json(_near(project, annotator, offset, tab))
        pages = {"predicted": project.grid.predictions_page, "unlabelled": project.grid.unlabelled_page}
        page = pages[group](annotator, offset, PAGE, tab)
        groups = _by_class(project, page.cells) if group == "predicted" else [_alike(project, page.cells)]
        return Json({"groups": [each for each in groups if each["cells"]], "next": page.next})


def _by_class(project: Project, cells: list[GridCell]) -> list[dict[str, object]]:
    """Cells lie in the order of their predicted class already; one that measures since is not shown here."""
    said = [(cell, cell.suggestion) for cell in cells if cell.suggestion is not None]
    return [
        {
            "class_id": class_id,
            "cells": [
                cell_json(project.images.get(cell.image_id), suggestion, cell.answered)
                for cell, suggestion in part
            ],
        }
        for class_id, part in groupby(said, lambda pair: pair[1].class_id)
    ]


def _near(project: Project, annotator: str, offset: int, tab: str) -> dict[str, object]:
    everything = project.images.near_duplicates()
    images, position = 0, offset
    for ids in everything[offset:]:
        if images and images + len(ids) > PAGE:
            break
        images += len(ids)
        position += 1
    groups = everything[offset:position]
    cells = {
        cell.image_id: cell
        for cell in project.grid.lease(annotator, [id for ids in groups for id in ids], tab)
    }
    shown = ([cells[image_id] for image_id in ids if image_id in cells] for ids in groups)
    return {
        "groups": [_alike(project, group) for group in shown if group],
        "next": position if position < len(everything) else None,
    }


def _alike(project: Project, cells: list[GridCell]) -> dict[str, object]:
    """A group that shows nobody what a model says of its images, so that nothing is there to accept."""
    return {
        "class_id": None,
        "cells": [cell_json(project.images.get(cell.image_id), None, cell.answered) for cell in cells],
    }


def cell_json(image: ProjectImage, suggestion: Suggestion | None, answered: bool) -> dict[str, object]:
    """An image as a tile of the grid, with what a card needs to be shown large."""
    return {
        "image_id": image.id,
        "name": image.name,
        "width": image.width,
        "height": image.height,
        "suggestion": suggestion_json(suggestion),
        "answered": answered,
        **links(image),
    }


def suggestion_json(suggestion: Suggestion | None) -> dict[str, object] | None:
    """What a model says of an image."""
    if suggestion is None:
        return None
    return {
        "class_id": suggestion.class_id,
        "probability": suggestion.probability,
        "model_number": suggestion.model_number,
    }
