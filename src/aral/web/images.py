"""Images: their JSON, and their pictures, all of them re-encoded: thumbnail, large version, generated images."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from aral.annotation import Project, ProjectImage
from aral.web.parameters import PathId
from aral.web.responses import problem

IMMUTABLE = "private, max-age=31536000, immutable"
"""The ``Cache-Control`` of a URL that names the content: another content has another URL."""

VERSION_LENGTH = 16
"""Hexadecimal digits of the file's SHA-256 in a picture's URL."""

LARGE_AT_ONCE = 2
"""Original files decoded at the same time; each may need 150 MB."""

Version = Annotated[str, Query(alias="v", max_length=64)]


def image_json(image: ProjectImage) -> dict[str, object]:
    """An image with the URLs of its pictures."""
    return {
        "image_id": image.id,
        "name": image.name,
        "width": image.width,
        "height": image.height,
        **picture_urls(image),
    }


def picture_urls(image: ProjectImage) -> dict[str, str]:
    """The URLs of an image's pictures.

    They name the content: a browser that caches pictures for good must never show one of another project on
    the same port, or one from before the file changed.
    """
    version = image.sha256[:VERSION_LENGTH]
    return {"thumbnail": f"/thumbnail/{image.id}?v={version}", "large": f"/large/{image.id}?v={version}"}


def add_routes(app: FastAPI, project: Project) -> None:
    """``/thumbnail``, ``/large``, ``/generated``."""
    decoders = CapacityLimiter(LARGE_AT_ONCE)

    @app.get("/thumbnail/{image_id}", response_class=Response)
    def thumbnail(request: Request, image_id: PathId, version: Version = "") -> Response:
        """The small picture of an image, longest side at most 512 pixels."""
        image = project.images.get(image_id)
        return _not_modified(request, image, version) or _picture(
            project.images.thumbnail(image_id), image, version
        )

    @app.get("/large/{image_id}", response_class=Response)
    async def large(request: Request, image_id: PathId, version: Version = "") -> Response:
        """The picture made from the original file, longest side at most 2,048 pixels."""
        image = await run_sync(project.images.get, image_id)
        not_modified = _not_modified(request, image, version)
        if not_modified is not None:
            return not_modified
        if await request.is_disconnected():
            return Response(status_code=204)
        jpeg = await run_sync(partial(project.images.large, image_id), limiter=decoders)
        return _picture(jpeg, image, version)

    @app.get("/generated/{model_number}", response_class=Response)
    def generated(model_number: PathId) -> Response:
        """Images that a model has generated, as one picture."""
        jpeg = project.models.generated_images(model_number)
        if jpeg is None:
            return problem(404, f"Model {model_number} has no generated images.")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "no-cache"})


def _not_modified(request: Request, image: ProjectImage, version: str) -> Response | None:
    """Status 304 for a browser that has the picture; None for any other."""
    if image.sha256 and request.headers.get("if-none-match") == _etag(image):
        return Response(status_code=304, headers=_headers(image, version))
    return None


def _picture(jpeg: bytes, image: ProjectImage, version: str) -> Response:
    return Response(jpeg, media_type="image/jpeg", headers=_headers(image, version))


def _headers(image: ProjectImage, version: str) -> dict[str, str]:
    names_content = bool(version) and version == image.sha256[:VERSION_LENGTH]
    return {"etag": _etag(image), "cache-control": IMMUTABLE if names_content else "no-cache"}


def _etag(image: ProjectImage) -> str:
    return f'"{image.sha256}"'
