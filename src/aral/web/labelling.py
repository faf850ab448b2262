"""Labelling one image after another: the next cards, the answers to them, and the answers given so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from aral.annotation import (
    BROWSING,
    Action,
    AnswerEvent,
    AnswerReceipt,
    Card,
    HistoryEntry,
    LabelChanged,
    Project,
    Provenance,
    ReplacedLabel,
)
from aral.errors import BadInput
from aral.web.images import image_json, picture_urls
from aral.web.parameters import LARGEST_ID, Annotator, ImageIds, Name, Number, Tab, image_ids
from aral.web.responses import Json

MOST_CARDS = 64
MOST_EVENTS = 500


class SeenLabel(BaseModel):
    """The label of an image as the page shows it; see :func:`aral.annotation.annotations.given_label`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    action: Literal["class", "bad image", "none of these", "conflict"]
    class_id: Number | None = None


class Replaced(BaseModel):
    """What one of many answers given at once replaces: a label, or nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    label: SeenLabel | None

    def as_replaced(self) -> ReplacedLabel:
        """The same for the project."""
        return ReplacedLabel(None if self.label is None else (self.label.action, self.label.class_id))


class Event(BaseModel):
    """One answer as the page sends it; see :class:`aral.annotation.AnswerEvent`.

    ``browsed`` says that no card was shown: the annotator picked the image in the grid, a list or their
    history; ``accepted`` says that the class is the suggestion, accepted as it was shown. An answer for many images
    at once states in ``replaces`` which label it replaces, and is refused where that has changed.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    key: Annotated[str, Field(min_length=8, max_length=100)]
    image_id: Number
    annotator: Name
    action: Action
    class_id: Number | None = None
    suggestion_shown: bool = False
    seconds: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    browsed: bool = False
    accepted: bool = False
    replaces: Replaced | None = None

    def as_event(self) -> AnswerEvent:
        """The same for the project."""
        provenance = Provenance(None, BROWSING, None) if self.browsed else None
        replaces = self.replaces.as_replaced() if self.replaces else None
        plain = self.model_dump(exclude={"browsed", "replaces"})
        return AnswerEvent(**plain, provenance=provenance, replaces=replaces)


class Events(BaseModel):
    """The answers of one request, in the order they were given."""

    model_config = ConfigDict(extra="forbid", strict=True)

    events: Annotated[list[Event], Field(max_length=MOST_EVENTS)]


def add_routes(app: FastAPI, project: Project) -> None:
    """``/api/next``, ``/api/answers`` and ``/api/history``."""

    @app.get("/api/next")
    def next_cards(
        annotator: Annotator,
        count: Annotated[int, Query(ge=1, le=MOST_CARDS)] = 12,
        holding: ImageIds = "",
        tab: Tab = "",
        fresh: bool = False,
    ) -> Json:
        """The next images for an annotator, leased to their tab; ``holding`` lists the cards it has already.

        With ``fresh`` the tab gives back what else it held, because there is a newer query.
        """
        cards = project.queue.next_cards(annotator, count, image_ids("holding", holding), tab, fresh)
        return Json({"cards": [_card_json(project, card) for card in cards]})

    @app.post("/api/answers")
    def answers(body: Events) -> Json:
        """Save answers; they are on the disk when this returns.

        Each answer has a key; sent twice, it counts once. An answer that cannot be saved, for instance
        because its class was merged meanwhile, is refused alone, with the reason: otherwise it would block
        the browser's queue for ever.
        """
        receipts, refused = save_answers(project, [event.as_event() for event in body.events])
        return Json(
            {
                "receipts": [asdict(receipt) for receipt in receipts],
                "refused": refused,
                "counts": asdict(project.labels.counts()),
            }
        )

    @app.get("/api/history")
    def history(
        annotator: Annotator,
        before: Annotated[int | None, Query(ge=0, le=LARGEST_ID)] = None,
        count: Annotated[int, Query(ge=1, le=500)] = 50,
        undoable: bool = False,
    ) -> Json:
        """An annotator's answers, newest first; with ``undoable`` without those that were undone."""
        read = project.annotations.undoable if undoable else project.annotations.history
        found = read(annotator, before, count)
        return Json({"answers": [_history_json(project, each) for each in found]})


def save_answers(
    project: Project, events: Sequence[AnswerEvent]
) -> tuple[list[AnswerReceipt], list[dict[str, str]]]:
    """Save answers in one transaction, or one by one when one of them is refused.

    Returns:
        receipts, and for each refused event its key, the problem and the hint; also the ``reason`` "label changed" if
        the image has another label than the event replaces.
    """
    try:
        return project.annotations.append_many(events), []
    except BadInput:
        pass
    receipts, refused = [], []
    for event in events:
        try:
            receipts.append(project.annotations.append(event))
        except BadInput as error:
            reason = {"reason": "label changed"} if isinstance(error, LabelChanged) else {}
            refused.append({"key": event.key, "problem": error.problem, "hint": error.hint, **reason})
    return receipts, refused


def _card_json(project: Project, card: Card) -> dict[str, object]:
    return {**asdict(card), **picture_urls(project.images.get(card.image_id))}


def _history_json(project: Project, answered: HistoryEntry) -> dict[str, object]:
    """An answer with its image as a card that shows no suggestion."""
    card = {
        **image_json(project.images.get(answered.image_id)),
        "purpose": "history",
        "round": None,
        "reason": "",
        "suggestion": None,
        "hidden_suggestion": False,
    }
    answer = {
        "seq": answered.seq,
        "action": answered.action,
        "class_id": answered.class_id,
        "at": answered.answered_at,
        "cancelled": answered.cancelled,
    }
    return {"card": card, "answer": answer}
