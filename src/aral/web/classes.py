"""Classes and settings of a project: read by the page when it is opened, changed by annotators."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from aral.annotation import MOST_BUDGET, MOST_DRAWN, Project, ProjectClass
from aral.errors import BadInput
from aral.web.images import picture_urls
from aral.web.parameters import Name, Number
from aral.web.responses import Json

Text = Annotated[str, Field(max_length=5000)]


class AddClass(BaseModel):
    """A new class."""

    model_config = ConfigDict(extra="forbid", strict=True)
    change: Literal["add"]
    name: Name
    annotator: Name

    def apply(self, project: Project) -> None:
        """Make the change."""
        project.classes.add(self.name, self.annotator)


class RenameClass(BaseModel):
    """A new name for a class."""

    model_config = ConfigDict(extra="forbid", strict=True)
    change: Literal["rename"]
    class_id: Number
    name: Name
    annotator: Name

    def apply(self, project: Project) -> None:
        """Make the change."""
        project.classes.rename(self.class_id, self.name, self.annotator)


class MergeClasses(BaseModel):
    """Merge a class into another, which its answers count for from now on."""

    model_config = ConfigDict(extra="forbid", strict=True)
    change: Literal["merge"]
    class_id: Number
    into_id: Number
    annotator: Name

    def apply(self, project: Project) -> None:
        """Make the change."""
        project.classes.merge(self.class_id, self.into_id, self.annotator)


class DescribeClass(BaseModel):
    """The guideline of a class, and images that are examples of it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    change: Literal["describe"]
    class_id: Number
    guideline: Text
    example_ids: Annotated[list[Number], Field(max_length=50)]
    annotator: Name

    def apply(self, project: Project) -> None:
        """Make the change."""
        project.classes.describe(self.class_id, self.guideline, self.example_ids, self.annotator)


ClassChange = Annotated[AddClass | RenameClass | MergeClasses | DescribeClass, Field(discriminator="change")]


class Settings(BaseModel):
    """New values of settings; a setting that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)
    annotator: Name
    keys: dict[Annotated[str, Field(max_length=50)], Annotated[str, Field(max_length=30)]] | None = None
    shortcuts_on: bool | None = None
    suggestions_on: bool | None = None
    budget: Annotated[int, Field(ge=1, le=MOST_BUDGET)] | None = None
    overlap: Annotated[int, Field(ge=1, le=20)] | None = None
    near_duplicate_bits: Annotated[int, Field(ge=0, le=8)] | None = None


class AddToBudget(BaseModel):
    """So many labels more than the present budget."""

    model_config = ConfigDict(extra="forbid", strict=True)
    add: Annotated[int, Field(ge=1, le=MOST_BUDGET)]


class AddToEstimate(BaseModel):
    """So many more images for the estimate set."""

    model_config = ConfigDict(extra="forbid", strict=True)
    add: Annotated[int, Field(ge=1, le=MOST_DRAWN)]


def add_routes(app: FastAPI, project: Project, page: Mapping[str, object]) -> None:
    """``/api/project``, ``/api/classes``, ``/api/settings``, ``/api/budget`` and ``/api/estimate/more``.

    Each responds with the whole project.

    Args:
        app: the application.
        project: the project.
        page: what the page needs besides classes and settings.
    """

    def whole() -> Json:
        return Json({**page, **_project_json(project)})

    @app.get("/api/project")
    def read() -> Json:
        """Classes, settings, names of annotators, counts."""
        return whole()

    @app.post("/api/classes")
    def change_class(body: ClassChange) -> Json:
        """Add, rename, merge or describe a class."""
        body.apply(project)
        return whole()

    @app.post("/api/settings")
    def change_settings(body: Settings) -> Json:
        """Change settings of the project."""
        given = body.model_dump(exclude={"annotator"}, exclude_unset=True)
        for name in ("keys", "shortcuts_on", "suggestions_on", "overlap", "near_duplicate_bits"):
            if name in given and given[name] is None:
                raise BadInput(f"'{name}' cannot be empty.", "Leave it out to keep it as it is.")
        settings = replace(project.settings.get(), **given)
        project.settings.set(replace(settings, keys=_live_keys(project, settings.keys)))
        return whole()

    @app.post("/api/budget")
    def add_to_budget(body: AddToBudget) -> Json:
        """Raise the budget, for instance when it is spent."""
        project.settings.add_to_budget(body.add)
        return whole()

    @app.post("/api/estimate/more")
    def enlarge_estimate_set(body: AddToEstimate) -> Json:
        """Draw more images for the estimate set; ``drawn`` says how many there were to draw."""
        drawn = project.settings.enlarge_estimate_set(body.add)
        return Json({**page, **_project_json(project), "drawn": drawn})


def _live_keys(project: Project, keys: dict[str, str]) -> dict[str, str]:
    """The keys without those of classes that were merged since the page was loaded."""
    live = {f"class:{each.id}" for each in project.classes.all()}
    return {name: key for name, key in keys.items() if not name.startswith("class:") or name in live}


def _project_json(project: Project) -> dict[str, object]:
    return {
        "classes": [_class_json(project, each) for each in project.classes.all()],
        "settings": asdict(project.settings.get()),
        "annotators": [each.name for each in project.annotators.all()],
        "counts": asdict(project.labels.counts()),
        "revision": project.classes.revision(),
        "changes": project.changes(),
        "export_command": export_command(project),
    }


def export_command(project: Project) -> str:
    """What to type in a terminal to export the project; bytes of its path that are not valid UTF-8 become ``?``."""
    folder = project.folder if project.folder.parent != project.photos else project.photos
    return shlex.join(["aral", "export", os.fsencode(folder).decode("utf-8", "replace"), "exported"])


def _class_json(project: Project, each: ProjectClass) -> dict[str, object]:
    examples = [{"image_id": id, **picture_urls(project.images.get(id))} for id in each.example_ids]
    return {**asdict(each), "examples": examples}
