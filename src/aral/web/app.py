"""The application: the page, the routes, and the security middleware in front of them."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from aral.annotation import Project
from aral.web import classes, grid, images, label_studio, labelling, progress
from aral.web.responses import Json, add_error_handlers
from aral.web.security import Security, SecurityMiddleware

HERE = Path(__file__).parent


def make_app(project: Project, security: Security, annotator: str = "me") -> FastAPI:
    """The application for one project.

    Args:
        project: the project; the routes call it from several threads.
        security: who may use it.
        annotator: the name of an annotator who has not given one.
    """
    app = FastAPI(title="aral", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_middleware(SecurityMiddleware, security=security)
    add_error_handlers(app)
    name = _printable(project.photos.name) or "Images"
    templates = Jinja2Templates(HERE / "templates")
    modules = sorted(file.name for file in (HERE / "static").glob("*.js"))

    @app.get("/", response_class=Response, include_in_schema=False)
    def page(request: Request) -> Response:
        """The page itself."""
        return templates.TemplateResponse(request, "page.html", {"name": name, "modules": modules})

    @app.post("/api/link")
    def new_link() -> Json:
        """A link that opens the page once, for another browser or another annotator."""
        return Json({"path": f"/?token={security.new_link()}"})

    classes.add_routes(app, project, {"key": security.project_key, "name": name, "annotator": annotator})
    for module in (labelling, grid, progress, images, label_studio):
        module.add_routes(app, project)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    return app


def _printable(name: str) -> str:
    """A file name to be displayed; bytes that are not valid UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode()
