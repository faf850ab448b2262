"""Label Studio as another front end: the routes of its ML-backend protocol, and its JSON both ways.

A Label Studio that is told of this server asks ``/predict`` for suggestions and reports annotations to
``/webhook``; they become answers like those of the page. It authorises itself by basic authorisation with
the secret of this server as password.
"""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from threading import Lock
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote, urlsplit

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from aral.annotation import Project, Suggestion, ends_of
from aral.web.label_studio_answers import Document, Webhook, take_in
from aral.web.replies import Json

MOST_TASKS = 500


class Predict(BaseModel):
    """``POST /predict``."""

    model_config = ConfigDict(extra="allow")
    tasks: Annotated[list[Document], Field(max_length=MOST_TASKS)]
    label_config: str | None = None


def add_routes(app: FastAPI, project: Project) -> None:
    """``/predict``, ``/setup``, ``/webhook``, ``/health``."""
    images = ImageIndex(project)

    def version() -> str:
        models = project.models.all()
        return f"aral-{models[-1].number}" if models else "aral-0"

    @app.post("/predict")
    def predict(body: Predict) -> Json:
        """What the newest model says of each task's image; nothing of one it does not know or that measures."""
        from_name, to_name = control_names(body.label_config or "")
        classes = {each.id: each.name for each in project.classes.all()}
        found = [images.find(task) for task in body.tasks]
        cells = project.grid.cells([image_id for image_id in found if image_id is not None])
        said = {cell.image_id: cell.suggestion for cell in cells}
        newest = version()
        results = [
            prediction_json(
                None if image_id is None else said.get(image_id), classes, newest, from_name, to_name
            )
            for image_id in found
        ]
        return Json({"results": results})

    @app.post("/setup")
    def setup(body: Document) -> Json:
        """Label Studio asks which model answers."""
        return Json({"model_version": version()})

    @app.post("/webhook")
    def webhook(body: Webhook) -> Json:
        """An annotation becomes an answer, a deletion takes it back; other events change nothing."""
        recorded, refused = take_in(project, body, images.find)
        return Json({"recorded": recorded, "refused": refused}, 201)

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
        count = self._project.images.count()
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
        self._read(self._project.images.count())
        known = (self._by_name.get(name) for name in ends_of(local[0] if local else unquote(parts.path)))
        return next((image_id for image_id in known if image_id is not None), None)

    def _read(self, count: int) -> None:
        """Read the names again when images were added."""
        with self._lock:
            if count == self._known:
                return
            ids = [int(each) for each in self._project.images.labelable_ids()]
            self._by_name = {self._project.images.get(id).name: id for id in ids}
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
