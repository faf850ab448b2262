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

from aral.annotation import ImageMatcher, Project, Suggestion
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
        models = project.models()
        return f"aral-{models[-1].number}" if models else "aral-0"

    @app.post("/predict")
    def predict(body: Predict) -> Json:
        """What the newest model says of each task's image; nothing of one it does not know or that measures."""
        from_name, to_name = control_names(body.label_config or "")
        classes = {each.id: each.name for each in project.classes()}
        found = [images.find(task) for task in body.tasks]
        cells = project.cells([image_id for image_id in found if image_id is not None])
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
    """Finds the image that a task is about, by the rules of :class:`aral.annotation.ImageMatcher`.

    A task made by ``aral export`` carries the content hash of its image. Any other is found by the file it names,
    which may be a path below the photos, Label Studio's address of a local file, or an upload. The number
    ``aral_id`` counts only for a task that names no file, or names the file of that image: in another project the
    number belongs to another image. A shortened path that a second, different path of a task ends in as well
    is not taken any more.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock = Lock()
        self._matcher = ImageMatcher((), project.photos)
        self._paths = self._matcher.import_paths()
        self._labelable: frozenset[int] = frozenset()
        self._known = -1

    def find(self, task: Mapping[str, Any]) -> int | None:
        """The image's number, or None."""
        data = task.get("data")
        if not isinstance(data, dict):
            return None
        number, address, sha256 = data.get("aral_id"), data.get("image"), data.get("aral_sha256")
        path = _path(address) if isinstance(address, str) else ""
        content = sha256 if isinstance(sha256, str) else ""
        with self._lock:
            self._read()
            if not path and not content:
                return number if isinstance(number, int) and number in self._labelable else None
            self._paths.add(path)
            found = self._matcher.match(path, content, self._paths).image_id
        return found if found in self._labelable else None

    def _read(self) -> None:
        """Read the images again when there are others."""
        count = self._project.image_count()
        if count == self._known:
            return
        self._matcher = ImageMatcher(self._project.images(), self._project.photos)
        self._labelable = frozenset(int(each) for each in self._project.labelable_ids())
        self._known = count


def _path(address: str) -> str:
    """The path that a task's address names."""
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path)


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
