"""The images to be answered next, and the answers given so far."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, Query

from aral.annotation import Card, HistoryEntry, Project
from aral.errors import BadInput
from aral.web.pictures import links
from aral.web.replies import LARGEST_ID, Json

MOST_CARDS = 64
MOST_HOLDING = 1000
HISTORY_CHUNK = 200

Annotator = Annotated[str, Query(min_length=1, max_length=200)]
Tab = Annotated[str, Query(max_length=100)]
ImageIds = Annotated[str, Query(max_length=20 * MOST_HOLDING)]
"""Numbers of images, as in ``3,7``."""


def add_routes(app: FastAPI, project: Project) -> None:
    """``/api/next`` and ``/api/history``."""

    @app.get("/api/next")
    def next_cards(
        annotator: Annotator,
        count: Annotated[int, Query(ge=1, le=MOST_CARDS)] = 12,
        holding: ImageIds = "",
        tab: Tab = "",
    ) -> Json:
        """Images for a person to answer; they are leased, so nobody else gets them meanwhile."""
        cards = project.queue.next_cards(annotator, count, image_ids("holding", holding), tab)
        return Json({"cards": [card_json(project, card) for card in cards]})

    @app.get("/api/history")
    def history(
        annotator: Annotator,
        before: Annotated[int | None, Query(ge=0, le=LARGEST_ID)] = None,
        count: Annotated[int, Query(ge=1, le=500)] = 50,
        undoable: bool = False,
    ) -> Json:
        """A person's answers, newest first; with ``undoable`` without those that were taken back."""
        found = _history(project, annotator, before, count, undoable)
        return Json({"answers": [_answered_json(project, each) for each in found]})


def card_json(project: Project, card: Card) -> dict[str, object]:
    """A card with the addresses of its pictures."""
    return {**asdict(card), **links(project.images.get(card.image_id))}


def _history(
    project: Project, annotator: str, before: int | None, count: int, undoable: bool
) -> list[HistoryEntry]:
    if not undoable:
        return project.annotations.history(annotator, before, count)
    found: list[HistoryEntry] = []
    while len(found) < count:
        chunk = project.annotations.history(annotator, before, HISTORY_CHUNK)
        found += [each for each in chunk if not each.cancelled]
        if len(chunk) < HISTORY_CHUNK:
            break
        before = chunk[-1].seq
    return found[:count]


def _answered_json(project: Project, answered: HistoryEntry) -> dict[str, object]:
    image = project.images.get(answered.image_id)
    card = {
        "image_id": image.id,
        "name": image.name,
        "width": image.width,
        "height": image.height,
        "purpose": "history",
        "round": None,
        "reason": "",
        "suggestion": None,
        "hidden_suggestion": False,
        **links(image),
    }
    answer = {
        "seq": answered.seq,
        "action": answered.action,
        "class_id": answered.class_id,
        "at": answered.answered_at,
        "cancelled": answered.cancelled,
    }
    return {"card": card, "answer": answer}


def image_ids(name: str, text: str) -> list[int]:
    """The numbers in ``3,7``, which a request calls ``name``.

    Raises:
        BadInput: it is no list of numbers, or too long.
    """
    parts = [part for part in text.split(",") if part]
    if len(parts) > MOST_HOLDING or not all(part.isascii() and part.isdecimal() for part in parts):
        raise BadInput(f"'{name}' is not a list of image numbers.", "Write it like 3,7,12.")
    ids = [int(part) for part in parts]
    if any(each > LARGEST_ID for each in ids):
        raise BadInput(f"'{name}' names an image that cannot exist.")
    return ids
