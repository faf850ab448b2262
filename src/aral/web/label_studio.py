"""Label Studio as another front end: the routes of its ML backend protocol.

A Label Studio that is connected to this server requests suggestions from ``/predict`` and sends annotations to
``/webhook``, where they are recorded as annotation events like those of the page. It authenticates itself by basic
authentication with the secret of this server as password.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from threading import Lock
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from aral.annotation import LABEL_STUDIO, AnswerEvent, ImageMatcher, Project, Provenance, Suggestion
from aral.annotation.label_studio import (
    FROM_NAME,
    TO_NAME,
    annotator_of,
    choice_json,
    choices_of,
)
from aral.errors import BadInput
from aral.web.labelling import save_answers
from aral.web.parameters import LARGEST_ID
from aral.web.responses import Json

_LOG = logging.getLogger(__name__)

MOST_TASKS = 500

PROVENANCE = Provenance(None, LABEL_STUDIO, None)
"""Label Studio decided in which order the tasks were shown."""

ANNOTATED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")
DELETED = "ANNOTATIONS_DELETED"

Document = dict[str, Any]
"""A JSON object of Label Studio; its versions add fields."""


class Predict(BaseModel):
    """``POST /predict``."""

    model_config = ConfigDict(extra="allow")
    tasks: Annotated[list[Document], Field(max_length=MOST_TASKS)]
    label_config: str | None = None


class Webhook(BaseModel):
    """``POST /webhook``; for several annotations at once both task and annotation are lists."""

    model_config = ConfigDict(extra="allow")
    action: str
    task: Document | list[Document] | None = None
    annotation: Document | list[Document] | None = None
    annotations: list[Document] | None = None

    def pairs(self) -> list[tuple[Document, Document]]:
        """Each annotation with the task whose number it names, or with the only task."""
        tasks = self.task if isinstance(self.task, list) else [self.task or {}]
        annotations = self.annotation if isinstance(self.annotation, list) else [self.annotation or {}]
        by_number = {str(task["id"]): task for task in tasks if "id" in task}
        only = tasks[0] if len(tasks) == len(annotations) == 1 else {}
        return [(by_number.get(str(each.get("task")), only), each) for each in annotations]


def add_routes(app: FastAPI, project: Project) -> None:
    """``/predict``, ``/setup``, ``/webhook``, ``/health``."""
    images = ImageIndex(project)

    def version() -> str:
        number = project.predictions.number()
        return f"zero-shot-{-number}" if number < 0 else f"aral-{project.models.newest_number() or 0}"

    @app.post("/predict")
    def predict(body: Predict) -> Json:
        """The suggestion for each task's image; none for unknown images and those of the estimate set."""
        from_name, to_name = control_names(body.label_config or "")
        classes = {each.id: each.name for each in project.classes.all()}
        found = [images.find(task) for task in body.tasks]
        cells = project.grid.cells([image_id for image_id in found if image_id is not None])
        suggestions = {cell.image_id: cell.suggestion for cell in cells}
        newest = version()
        results = [
            prediction_json(
                None if image_id is None else suggestions.get(image_id), classes, newest, from_name, to_name
            )
            for image_id in found
        ]
        return Json({"results": results})

    @app.post("/setup")
    def setup(body: Document) -> Json:
        """The version of the model, which Label Studio requests."""
        return Json({"model_version": version()})

    @app.post("/webhook")
    def webhook(body: Webhook) -> Json:
        """An annotation becomes an answer, a deletion undoes it; other events change nothing."""
        recorded, refused = record_event(project, body, images.find)
        return Json({"recorded": recorded, "refused": refused}, 201)

    @app.get("/health")
    def health() -> Json:
        """That the server runs."""
        return Json({"status": "UP", "model_class": "aral"})


class ImageIndex:
    """Finds the image of a task, by the rules of :class:`aral.annotation.ImageMatcher`.

    A task made by ``aral export`` contains the content hash of its image. Any other is found by the file it names,
    which may be a path below the photos, Label Studio's URL of a local file, or an upload. The number ``aral_id``
    counts only for a task that names no file: in another project the number belongs to another image. A shortened
    path that is also the end of another task's path is refused from then on.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock = Lock()
        self._matcher = ImageMatcher((), project.photos)
        self._paths = self._matcher.import_paths()
        self._labelable: frozenset[int] = frozenset()
        self._count = -1

    def find(self, task: Mapping[str, Any]) -> int | None:
        """The image's number, or None."""
        data = task.get("data")
        if not isinstance(data, dict):
            return None
        number, url, sha256 = data.get("aral_id"), data.get("image"), data.get("aral_sha256")
        path = url if isinstance(url, str) else ""
        content = sha256 if isinstance(sha256, str) else ""
        with self._lock:
            self._refresh()
            if not path and not content:
                return number if isinstance(number, int) and number in self._labelable else None
            self._paths.add(path)
            found = self._matcher.match(path, content, self._paths).image_id
        return found if found in self._labelable else None

    def _refresh(self) -> None:
        """Read the images again when their number has changed."""
        count = self._project.images.count()
        if count == self._count:
            return
        self._matcher = ImageMatcher(self._project.images.all(), self._project.photos)
        self._labelable = frozenset(int(each) for each in self._project.images.labelable_ids())
        self._count = count


class _Controls(HTMLParser):
    """Finds the first ``<Choices>`` of a labelling configuration; a parser without entities to expand."""

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "choices" and self.names is None:
            self.names = (values.get("name") or FROM_NAME, values.get("toname") or TO_NAME)


def control_names(label_config: str) -> tuple[str, str]:
    """The names of the choices and of the image in a labelling configuration."""
    parser = _Controls()
    parser.feed(label_config)
    return parser.names or (FROM_NAME, TO_NAME)


def prediction_json(
    suggestion: Suggestion | None, classes: Mapping[int, str], version: str, from_name: str, to_name: str
) -> Document:
    """A suggestion as Label Studio's prediction; without one, a prediction with no result."""
    if suggestion is None or suggestion.class_id not in classes:
        return {"model_version": version, "score": 0.0, "result": []}
    choice = choice_json(classes[suggestion.class_id], from_name, to_name)
    result = {**choice, "score": suggestion.probability}
    return {"model_version": version, "score": suggestion.probability, "result": [result]}


def record_event(
    project: Project, event: Webhook, find: Callable[[Document], int | None]
) -> tuple[bool, list[dict[str, str]]]:
    """Save the annotations of an event as answers, or undo those it deletes.

    Args:
        project: gets the answers.
        event: of Label Studio.
        find: gives the image of a task.

    Returns:
        whether anything was recorded, and the reason for each annotation that was not.
    """
    if event.action == DELETED:
        undone = [undo_annotation(project, annotation) for annotation in event.annotations or ()]
        return any(undone), []
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
    receipts, unsaved = save_answers(project, answers) if answers else ([], [])
    for each in refused + unsaved:  # Label Studio does not show the response to its users
        _LOG.warning("Label Studio: an annotation was not recorded: %r", each["problem"])
    return bool(receipts), refused + unsaved


def answer_of(
    action: str, annotation: Document, image_id: int | None, class_ids: Mapping[str, int]
) -> AnswerEvent | None:
    """An annotation as an event: its choice, or a skip when it was cancelled; None when it has no choice.

    The key is the annotation's number with its time of change, so an event that is sent twice counts once.

    Raises:
        BadInput: there are several choices, the choice is no class of the project, or the image is unknown.
    """
    number, choices = annotation.get("id"), choices_of(annotation)
    cancelled = annotation.get("was_cancelled") is True
    if not isinstance(number, int) or not (choices or cancelled):
        return None
    if image_id is None:
        raise BadInput(
            f"No image of the project fits annotation {number}.", "Run aral sync, or check its path."
        )
    stamp = annotation.get("updated_at") or annotation.get("created_at") or ""
    key = f"{key_prefix(number)}{action}:{stamp}"[:100]
    annotator = annotator_of(annotation) or "Label Studio"
    lead_time = annotation.get("lead_time")
    seconds = (
        float(lead_time) if isinstance(lead_time, int | float) and 0 <= lead_time <= LARGEST_ID else None
    )
    if cancelled:
        return AnswerEvent(key, image_id, annotator, "skip", seconds=seconds, provenance=PROVENANCE)
    if len(choices) > 1:
        raise BadInput(f"Annotation {number} has {len(choices)} choices.", "Submit it with one class.")
    class_id = class_ids.get(choices[0])
    if class_id is None:
        raise BadInput(
            f"There is no class '{choices[0]}'.", "Add it on the page, then submit the task again."
        )
    return AnswerEvent(key, image_id, annotator, "class", class_id, seconds=seconds, provenance=PROVENANCE)


def key_prefix(number: int) -> str:
    """The prefix of the keys of all answers of an annotation."""
    return f"label-studio:{number}:"


def undo_annotation(project: Project, annotation: Document) -> bool:
    """Undo all answers of a deleted annotation; gives whether there were any.

    A deletion contains nothing but the annotation's number.
    """
    number = annotation.get("id")
    found = False
    while isinstance(number, int) and (
        current := project.annotations.current_with_prefix(key_prefix(number))
    ):
        seq, image_id, annotator = current
        project.annotations.append(
            AnswerEvent(f"label-studio-undo:{number}:{seq}", image_id, annotator, "undo")
        )
        found = True
    return found
