"""Label Studio's webhook: annotations that people made there, as answers here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from aral.annotation import LABEL_STUDIO, AnswerEvent, Project, Provenance
from aral.errors import BadInput
from aral.web.answers import save
from aral.web.replies import LARGEST_ID

_LOG = logging.getLogger(__name__)

ASKED = Provenance(None, LABEL_STUDIO, None)
"""Its own order of tasks asks, not a card."""

ANNOTATED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")
DELETED = "ANNOTATIONS_DELETED"

Document = dict[str, Any]
"""A JSON object of Label Studio, which adds fields as it likes."""


class Webhook(BaseModel):
    """``POST /webhook``; of several annotations at once both task and annotation are lists."""

    model_config = ConfigDict(extra="allow")
    action: str
    task: Document | list[Document] | None = None
    annotation: Document | list[Document] | None = None
    annotations: list[Document] | None = None

    def pairs(self) -> list[tuple[Document, Document]]:
        """Each annotation with its task: the one whose number it names, or else the only one."""
        tasks = self.task if isinstance(self.task, list) else [self.task or {}]
        annotations = self.annotation if isinstance(self.annotation, list) else [self.annotation or {}]
        by_number = {str(task["id"]): task for task in tasks if "id" in task}
        only = tasks[0] if len(tasks) == len(annotations) == 1 else {}
        return [(by_number.get(str(each.get("task")), only), each) for each in annotations]


def take_in(
    project: Project, event: Webhook, find: Callable[[Document], int | None]
) -> tuple[bool, list[dict[str, str]]]:
    """Record what an event says, if it says anything.

    Args:
        project: gets the answers.
        event: of Label Studio.
        find: the image that a task is about.

    Returns:
        whether anything was recorded, and why what was not.
    """
    if event.action == DELETED:
        taken = [take_back(project, annotation) for annotation in event.annotations or ()]
        return any(taken), []
    if event.action not in ANNOTATED:
        return False, []
    class_ids = {each.name: each.id for each in project.classes.all()}
    answers: list[AnswerEvent] = []
    refused: list[dict[str, str]] = []
    for task, annotation in event.pairs():
        image_id = find(task)
        try:
            answer = answer_of(event.action, annotation, image_id, class_ids)
        except BadInput as error:
            refused.append({"key": "", "problem": error.problem, "hint": error.hint})
        else:
            answers += [answer] if answer else []
    receipts, unsaved = save(project, answers) if answers else ([], [])
    for each in refused + unsaved:  # Label Studio shows nobody what it is answered
        _LOG.warning("Label Studio: an annotation was not taken in: %r", each["problem"])
    return bool(receipts), refused + unsaved


def answer_of(
    action: str, annotation: Document, image_id: int | None, class_ids: Mapping[str, int]
) -> AnswerEvent | None:
    """An annotation as an answer: its choice, or a skip when it was cancelled; None when it has no choice.

    The key is the annotation's number with its time of change, so an event that is reported twice counts once.

    Raises:
        BadInput: the choice is no class of the project, or the image none of its images.
    """
    number, choice = annotation.get("id"), _choice(annotation)
    if not isinstance(number, int) or not (choice or annotation.get("was_cancelled") is True):
        return None
    if image_id is None:
        raise BadInput(
            f"No image of the project fits annotation {number}.", "Run aral sync, or check its path."
        )
    stamp = annotation.get("updated_at") or annotation.get("created_at") or ""
    key = f"{key_of(number)}{action}:{stamp}"[:100]
    person = annotation.get("completed_by", "")
    annotator = f"Label Studio {person.get('id', '') if isinstance(person, dict) else person}".strip()
    seconds = annotation.get("lead_time")
    taken = float(seconds) if isinstance(seconds, int | float) and 0 <= seconds <= LARGEST_ID else None
    if annotation.get("was_cancelled") is True:
        return AnswerEvent(key, image_id, annotator, "skip", seconds=taken, provenance=ASKED)
    class_id = class_ids.get(choice)
    if class_id is None:
        raise BadInput(f"There is no class '{choice}'.", "Add it on the page, then submit the task again.")
    return AnswerEvent(key, image_id, annotator, "class", class_id, seconds=taken, provenance=ASKED)


def key_of(number: int) -> str:
    """How the keys of all answers that an annotation came to begin."""
    return f"label-studio:{number}:"


def take_back(project: Project, annotation: Document) -> bool:
    """Undo what a deleted annotation said, with all its changes; gives whether there was anything.

    Of a deletion Label Studio tells the annotation's number alone.
    """
    number = annotation.get("id")
    found = False
    while isinstance(number, int) and (stands := project.annotations.current_with_prefix(key_of(number))):
        seq, image_id, annotator = stands
        project.annotations.append(
            AnswerEvent(f"label-studio-undo:{number}:{seq}", image_id, annotator, "undo")
        )
        found = True
    return found


def _choice(annotation: Mapping[str, Any]) -> str:
    """The choice of an annotation, empty when there is not exactly one."""
    results = annotation.get("result")
    for result in results if isinstance(results, list) else []:
        value = result.get("value") if isinstance(result, dict) else None
        choices = value.get("choices") if isinstance(value, dict) else None
        if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], str):
            return choices[0]
    return ""
