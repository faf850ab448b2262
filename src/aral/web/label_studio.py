"""Label Studio as another front end: the routes of its ML-backend protocol, and its JSON both ways.

A Label Studio that is told of this server asks ``/predict`` for suggestions and reports annotations to
``/webhook``; they become answers like those of the page. It authorises itself by basic authorisation with
the secret of this server as password.
"""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import PurePosixPath
from threading import Lock
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote, urlsplit

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from aral.project import AnswerEvent, Project, Suggestion
from aral.web.answers import save
from aral.web.replies import LARGEST_ID, Json

MOST_TASKS = 500
ANNOTATED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")
DELETED = ("ANNOTATION_DELETED", "ANNOTATIONS_DELETED")

Document = dict[str, Any]
"""A JSON object of Label Studio, which adds fields as it likes."""


class Predict(BaseModel):
    """``POST /predict``."""

    model_config = ConfigDict(extra="allow")
    tasks: Annotated[list[Document], Field(max_length=MOST_TASKS)]
    label_config: str | None = None


class Webhook(BaseModel):
    """``POST /webhook``."""

    model_config = ConfigDict(extra="allow")
    action: str
    task: Document | None = None
    annotation: Document | None = None


def add_routes(app: FastAPI, project: Project) -> None:
    """``/predict``, ``/setup``, ``/webhook``, ``/health``."""
    images = ImageIndex(project)

    def version() -> str:
        models = project.models()
        return f"aral-{models[-1].number}" if models else "aral-0"

    @app.post("/predict")
    def predict(body: Predict) -> Json:
        """What the newest model says of each task's image; nothing for an image it does not know."""
        from_name, to_name = control_names(body.label_config or "")
        classes = {each.id: each.name for each in project.classes()}
        results = []
        for task in body.tasks:
            image_id = images.find(task)
            said = None if image_id is None else project.prediction(image_id)
            results.append(prediction_json(said, classes, version(), from_name, to_name))
        return Json({"results": results})

    @app.post("/setup")
    def setup(body: Document) -> Json:
        """Label Studio asks which model answers."""
        return Json({"model_version": version()})

    @app.post("/webhook")
    def webhook(body: Webhook) -> Json:
        """An annotation becomes an answer; other events are acknowledged and change nothing."""
        image_id = images.find(body.task or {})
        event = None if image_id is None else answer_of(body, image_id, _class_ids(project))
        _, refused = save(project, [event]) if event else ([], [])
        return Json({"recorded": event is not None and not refused, "refused": refused}, 201)

    @app.get("/health")
    def health() -> Json:
        """That the server runs."""
        return Json({"status": "UP", "model_class": "aral"})


class ImageIndex:
    """Finds the image that a task is about.

    A task made by ``aral export`` carries the image's number; any other is found by the file it names, which
    may be a path below the photos, Label Studio's address of a local file, or an upload.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock = Lock()
        self._by_name: dict[str, int] = {}
        self._ids: frozenset[int] = frozenset()
        self._known = 0

    def find(self, task: Mapping[str, Any]) -> int | None:
        """The image's number, or None."""
        data = task.get("data")
        if not isinstance(data, dict):
            return None
        number = data.get("aral_id")
        count = self._project.image_count()
        if isinstance(number, int) and number in self._numbers(count):
            return number
        address = data.get("image")
        return self._named(address) if isinstance(address, str) else None

    def _numbers(self, count: int) -> frozenset[int]:
        self._read(count)
        return self._ids

    def _named(self, address: str) -> int | None:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d")
        path = PurePosixPath(local[0] if local else unquote(parts.path))
        self._read(self._project.image_count())
        # The longest end of the path that is an image of the project: prefixes differ between machines.
        for start in range(len(path.parts)):
            found = self._by_name.get("/".join(path.parts[start:]))
            if found is not None:
                return found
        return None

    def _read(self, count: int) -> None:
        """Read the names again when images were added."""
        with self._lock:
            if count == self._known:
                return
            ids = [int(each) for each in self._project.labelable_ids()]
            self._by_name = {self._project.image(id).name: id for id in ids}
            self._ids = frozenset(ids)
            self._known = count


class _Controls(HTMLParser):
    """Finds the first ``<Choices>`` of a labelling configuration; a parser without entities to expand."""

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "choices" and self.names is None:
            self.names = (values.get("name") or "choice", values.get("toname") or "image")


def control_names(label_config: str) -> tuple[str, str]:
    """The names of the choices and of the image in a labelling configuration."""
    parser = _Controls()
    parser.feed(label_config)
    return parser.names or ("choice", "image")


def prediction_json(
    said: Suggestion | None, classes: Mapping[int, str], version: str, from_name: str, to_name: str
) -> Document:
    """A suggestion as Label Studio's prediction; without one, a prediction with no result."""
    if said is None or said.class_id not in classes:
        return {"model_version": version, "score": 0.0, "result": []}
    result = {
        "from_name": from_name,
        "to_name": to_name,
        "type": "choices",
        "score": said.probability,
        "value": {"choices": [classes[said.class_id]]},
    }
    return {"model_version": version, "score": said.probability, "result": [result]}


def answer_of(webhook: Webhook, image_id: int, class_ids: Mapping[str, int]) -> AnswerEvent | None:
    """An annotation as an answer: its choice, a skip when it was cancelled, undo when it was deleted.

    None for an event that says nothing of an image, and for a choice that is no class of the project.
    The key is the annotation's number with its time of change, so an event that is reported twice counts once.
    """
    annotation = webhook.annotation or {}
    number = annotation.get("id")
    if not isinstance(number, int) or webhook.action not in (*ANNOTATED, *DELETED):
        return None
    stamp = annotation.get("updated_at") or annotation.get("created_at") or ""
    key = f"label-studio:{number}:{webhook.action[:12]}:{stamp}"[:100]
    annotator = f"Label Studio {annotation.get('completed_by', '')}".strip()
    seconds = annotation.get("lead_time")
    taken = float(seconds) if isinstance(seconds, int | float) and 0 <= seconds <= LARGEST_ID else None
    if webhook.action in DELETED:
        return AnswerEvent(key, image_id, annotator, "undo")
    if annotation.get("was_cancelled") is True:
        return AnswerEvent(key, image_id, annotator, "skip", seconds=taken)
    class_id = class_ids.get(_choice(annotation))
    if class_id is None:
        return None
    return AnswerEvent(key, image_id, annotator, "class", class_id, seconds=taken)


def _choice(annotation: Mapping[str, Any]) -> str:
    """The choice of an annotation, empty when there is not exactly one."""
    results = annotation.get("result")
    for result in results if isinstance(results, list) else []:
        value = result.get("value") if isinstance(result, dict) else None
        choices = value.get("choices") if isinstance(value, dict) else None
        if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], str):
            return choices[0]
    return ""


def _class_ids(project: Project) -> dict[str, int]:
    return {each.name: each.id for each in project.classes()}
