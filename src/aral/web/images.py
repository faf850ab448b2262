"""Images: their JSON, and their pictures, all of them re-encoded: three sizes of each, and generated images."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from aral.annotation import PictureSize, Project, ProjectImage
from aral.web.parameters import PathId
from aral.web.responses import problem

IMMUTABLE = "private, max-age=31536000, immutable"
"""The ``Cache-Control`` of a URL that names the content: another content has another URL."""

VERSION_LENGTH = 16
"""Hexadecimal digits of the file's SHA-256 in a picture's URL."""

DECODED_AT_ONCE = 2
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
    thumbnail = f"/thumbnail/{image.id}?v={version}"
    stage, full = f"{thumbnail}&size=stage", f"{thumbnail}&size=full"
    return {"thumbnail": thumbnail, "stage": stage, "full": full}


def add_routes(app: FastAPI, project: Project) -> None:
    """``/thumbnail``, ``/generated``."""
    decoders = CapacityLimiter(DECODED_AT_ONCE)

    @app.get("/thumbnail/{image_id}", response_class=Response)
    async def picture(
        request: Request, image_id: PathId, version: Version = "", size: PictureSize = "thumbnail"
    ) -> Response:
        """The picture of an image, longest side at most 512 pixels, 1,600 (``stage``) or 16,384 (``full``)."""
        image = await run_sync(project.images.get, image_id)
        if image.sha256 and request.headers.get("if-none-match") == _etag(image, size):
            return Response(status_code=304, headers=_headers(image, version, size))
        if size != "thumbnail" and await request.is_disconnected():
            return Response(status_code=204)
        limiter = None if size == "thumbnail" else decoders
        jpeg = await run_sync(partial(project.images.picture, image_id, size), limiter=limiter)
        return Response(jpeg, media_type="image/jpeg", headers=_headers(image, version, size))

    @app.get("/generated/{model_number}", response_class=Response)
    def generated(model_number: PathId) -> Response:
        """Images that a model has generated, as one picture."""
        jpeg = project.models.generated_images(model_number)
        if jpeg is None:
            return problem(404, f"Model {model_number} has no generated images.")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "no-cache"})


def _headers(image: ProjectImage, version: str, size: PictureSize) -> dict[str, str]:
    names_content = bool(version) and version == image.sha256[:VERSION_LENGTH]
    return {"etag": _etag(image, size), "cache-control": IMMUTABLE if names_content else "no-cache"}


def _etag(image: ProjectImage, size: PictureSize) -> str:
    return f'"{image.sha256}-{size}"'
