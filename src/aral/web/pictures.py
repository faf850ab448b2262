"""Pictures by number: thumbnails, the larger version for zooming, generated images. All of them re-encoded."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from aral.annotation import Project, ProjectImage
from aral.web.replies import ImageId, problem

FOREVER = "private, max-age=31536000, immutable"
"""For an address that names the content: another content has another address."""

VERSION_LENGTH = 16
"""Hexadecimal digits of the file's SHA-256 in a picture's address."""

LARGE_AT_ONCE = 2
"""Originals decoded at the same time; each may need 150 MB."""

Version = Annotated[str, Query(alias="v", max_length=64)]


def links(image: ProjectImage) -> dict[str, str]:
    """The addresses of an image's pictures.

    They name the content: a browser that keeps pictures for good must never show one of another project
    on the same port, or one that was there before the file changed.
    """
    version = image.sha256[:VERSION_LENGTH]
    return {"thumbnail": f"/thumbnail/{image.id}?v={version}", "large": f"/large/{image.id}?v={version}"}


def add_routes(app: FastAPI, project: Project) -> None:
    """``/thumbnail``, ``/large``, ``/generated``."""
    decoders = CapacityLimiter(LARGE_AT_ONCE)

    @app.get("/thumbnail/{image_id}", response_class=Response)
    def thumbnail(request: Request, image_id: ImageId, version: Version = "") -> Response:
        """The small picture of an image, longest side at most 512 pixels."""
        image = project.images.get(image_id)
        return _unchanged(request, image, version) or _picture(
            project.images.thumbnail(image_id), image, version
        )

    @app.get("/large/{image_id}", response_class=Response)
    async def large(request: Request, image_id: ImageId, version: Version = "") -> Response:
        """The picture made from the original, longest side at most 2,048 pixels."""
        image = await run_sync(project.images.get, image_id)
        unchanged = _unchanged(request, image, version)
        if unchanged is not None:
            return unchanged
        if await request.is_disconnected():
            return Response(status_code=204)
        jpeg = await run_sync(partial(project.images.large, image_id), limiter=decoders)
        return _picture(jpeg, image, version)

    @app.get("/generated/{model_number}", response_class=Response)
    def generated(model_number: ImageId) -> Response:
        """Images that a model has made up, as one picture."""
        jpeg = project.models.generated_images(model_number)
        if jpeg is None:
            return problem(404, f"Model {model_number} has no generated images.")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "no-cache"})


def _unchanged(request: Request, image: ProjectImage, version: str) -> Response | None:
    """The short answer for a browser that has the picture."""
    if image.sha256 and request.headers.get("if-none-match") == _tag(image):
        return Response(status_code=304, headers=_headers(image, version))
    return None


def _picture(jpeg: bytes, image: ProjectImage, version: str) -> Response:
    return Response(jpeg, media_type="image/jpeg", headers=_headers(image, version))


def _headers(image: ProjectImage, version: str) -> dict[str, str]:
    named = bool(version) and version == image.sha256[:VERSION_LENGTH]
    return {"etag": _tag(image), "cache-control": FOREVER if named else "no-cache"}


def _tag(image: ProjectImage) -> str:
    return f'"{image.sha256}"'
