"""The labelling server: every route behind the same checks."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from aral.annotation import Project
from aral.web import answers, cards, classes, grid, label_studio, pictures, rounds, status
from aral.web.guards import Guards
from aral.web.replies import Json, explain_errors
from aral.web.security import Security

HERE = Path(__file__).parent


def make_app(project: Project, security: Security, annotator: str = "me") -> FastAPI:
    """The application for one project.

    Args:
        project: what is labelled; the routes call it from several threads.
        security: who may ask.
        annotator: the name of a person who has not given one.
    """
    app = FastAPI(title="aral", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_middleware(Guards, security=security)
    explain_errors(app)
    name = printable(project.photos.name) or "Images"
    templates = Jinja2Templates(HERE / "templates")
    modules = sorted(file.name for file in (HERE / "static").glob("*.js"))

    @app.get("/", response_class=Response, include_in_schema=False)
    def page(request: Request) -> Response:
        """The page itself."""
        return templates.TemplateResponse(request, "page.html", {"name": name, "modules": modules})

    @app.post("/api/link")
    def new_link() -> Json:
        """A link that opens the page once, for another browser or another person."""
        return Json({"path": f"/?token={security.new_link()}"})

    def about() -> dict[str, object]:
        return {"key": security.project_key, "name": name, "annotator": annotator}

    classes.add_routes(app, project, about)
    for part in (cards, answers, status, grid, rounds, pictures, label_studio):
        part.add_routes(app, project)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    return app


def printable(name: str) -> str:
    """A file name for people; bytes that are no valid UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode()
