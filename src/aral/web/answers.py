"""Answers come in, each under a key of its own: sent twice, it counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from aral.annotation import BROWSING, Action, AnswerEvent, AnswerReceipt, Project, Provenance
from aral.errors import BadInput
from aral.web.replies import LARGEST_ID, Json

MOST_EVENTS = 500

Number = Annotated[int, Field(ge=0, le=LARGEST_ID)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Event(BaseModel):
    """One answer as the page sends it; see :class:`aral.annotation.AnswerEvent`.

    ``browsed`` says that no card asked: the person picked the image out of a grid, a list or their history;
    ``accepted`` that the class was not chosen but taken from the suggestion.
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

    def as_event(self) -> AnswerEvent:
        """The same for the project."""
        asked = Provenance(None, BROWSING, None) if self.browsed else None
        return AnswerEvent(**self.model_dump(exclude={"browsed"}), provenance=asked)


class Events(BaseModel):
    """The answers of one request, in the order they were given."""

    model_config = ConfigDict(extra="forbid", strict=True)

    events: Annotated[list[Event], Field(max_length=MOST_EVENTS)]


def add_routes(app: FastAPI, project: Project) -> None:
    """``/api/answers``."""

    @app.post("/api/answers")
    def answers(body: Events) -> Json:
        """Save answers; when this returns they are on the disk.

        An answer that cannot be saved at all, because its class was merged away meanwhile for instance,
        is refused by itself, with the reason: it must not keep the others in the browser for ever.
        """
        receipts, refused = save(project, [event.as_event() for event in body.events])
        return Json(
            {
                "receipts": [asdict(receipt) for receipt in receipts],
                "refused": refused,
                "counts": asdict(project.labels.counts()),
            }
        )


def save(project: Project, events: Sequence[AnswerEvent]) -> tuple[list[AnswerReceipt], list[dict[str, str]]]:
    """Save answers in one transaction, or one by one when that is refused.

    Returns:
        receipts, and for each refused event its key, the problem and the hint.
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
            refused.append({"key": event.key, "problem": error.problem, "hint": error.hint})
    return receipts, refused
