"""The grid: many images at once, by predicted class, as near-duplicates, without an answer, or found by words."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import Annotated, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from aral.annotation import GivenLabel, GridCell, Project, Suggestion
from aral.annotation.searches import MOST_LETTERS
from aral.errors import BadInput
from aral.web.images import image_json
from aral.web.parameters import LARGEST_ID, Annotator, Tab
from aral.web.responses import Json

PAGE_SIZE = 64

Group = Literal["predicted", "near", "unlabelled", "search"]


class Words(BaseModel):
    """Words to search images by."""

    model_config = ConfigDict(extra="forbid", strict=True)

    words: Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]


def add_routes(app: FastAPI, project: Project) -> None:
    """``/api/grid`` and ``/api/searches``."""

    @app.post("/api/searches")
    def search_for(body: Words) -> Json:
        """Request a search by words, which the training worker answers; its number, for ``/api/grid``."""
        return Json({"number": project.searches.request(body.words)})

    @app.get("/api/grid")
    def grid(
        annotator: Annotator,
        group: Group = "predicted",
        offset: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
        tab: Tab = "",
        search: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
    ) -> Json:
        """One page of images in groups, leased to this tab; ``next`` is the offset of the page after it, if any.

        Images leased to other pages are left out. The offset is a position in the order of the images; for
        near-duplicates it counts groups, which are never split between pages. With the group ``search`` the images are
        those of the search of this number, the most similar first; ``waiting`` says that it is not answered yet.
        """
        if group == "search":
            return Json(_found(project, search, annotator, offset, tab))
        if group == "near":
            return Json(_near_duplicates(project, annotator, offset, tab))
        pages = {"predicted": project.grid.predictions_page, "unlabelled": project.grid.unlabelled_page}
        page = pages[group](annotator, offset, PAGE_SIZE, tab)
        groups = _by_class(project, page.cells) if group == "predicted" else [_group(project, page.cells)]
        return Json({"groups": [each for each in groups if each["cells"]], "next": page.next})


def _by_class(project: Project, cells: list[GridCell]) -> list[dict[str, object]]:
    """Group cells, which are ordered by predicted class; one whose suggestion is hidden by now is left out."""
    suggested = [(cell, cell.suggestion) for cell in cells if cell.suggestion is not None]
    return [
        {
            "class_id": class_id,
            "cells": [
                cell_json(project, cell.image_id, suggestion, cell.answered, cell.label)
                for cell, suggestion in pairs
            ],
        }
        for class_id, pairs in groupby(suggested, lambda pair: pair[1].class_id)
    ]


def _found(project: Project, number: int, annotator: str, offset: int, tab: str) -> dict[str, object]:
    """A page of what a search has found."""
    search = project.searches.get(number)
    if search.problem:
        raise BadInput(search.problem)
    about = {"words": search.words, "waiting": search.ids is None, "unread": search.unread}
    if search.ids is None:
        return {"groups": [], "next": None, **about}
    page = project.grid.ordered_page(annotator, search.ids, offset, PAGE_SIZE, tab)
    return {"groups": [_group(project, page.cells)] if page.cells else [], "next": page.next, **about}


def _near_duplicates(project: Project, annotator: str, offset: int, tab: str) -> dict[str, object]:
    everything = project.images.near_duplicates()
    images, end = 0, offset
    for ids in everything[offset:]:
        if images and images + len(ids) > PAGE_SIZE:
            break
        images += len(ids)
        end += 1
    groups = everything[offset:end]
    leased = project.grid.lease(annotator, [id for ids in groups for id in ids], tab)
    cells = {cell.image_id: cell for cell in leased}
    shown = ([cells[image_id] for image_id in ids if image_id in cells] for ids in groups)
    return {
        "groups": [_group(project, group) for group in shown if group],
        "next": end if end < len(everything) else None,
    }


def _group(project: Project, cells: list[GridCell]) -> dict[str, object]:
    """A group without suggestions, so that nothing in it can be accepted."""
    return {
        "class_id": None,
        "cells": [cell_json(project, cell.image_id, None, cell.answered, cell.label) for cell in cells],
    }


def cell_json(
    project: Project,
    image_id: int,
    suggestion: Suggestion | None,
    answered: bool,
    label: GivenLabel = None,
) -> dict[str, object]:
    """An image as a tile, with what is needed to show it large, and the label that a further answer replaces."""
    return {
        **image_json(project.images.get(image_id)),
        "suggestion": None if suggestion is None else asdict(suggestion),
        "answered": answered,
        "label": None if label is None else {"action": label[0], "class_id": label[1]},
    }
