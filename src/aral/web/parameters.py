"""Types of the values that a request carries, with their limits."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field

from aral.errors import BadInput

LARGEST_ID = 2**53
"""Larger numbers are not exact in a browser, and no project has that many images."""

MOST_IDS = 1000
"""Image ids in one query parameter."""

Number = Annotated[int, Field(ge=0, le=LARGEST_ID)]
"""An id in a request's body."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
"""The name of a class or an annotator in a request's body."""

PathId = Annotated[int, Path(ge=0, le=LARGEST_ID)]
"""The id of an image or a model in a path; no file is ever addressed by its path."""

Annotator = Annotated[str, Query(min_length=1, max_length=200)]

Tab = Annotated[str, Query(max_length=100)]
"""The name of a browser tab; each tab of an annotator has its own leases."""

ImageIds = Annotated[str, Query(max_length=20 * MOST_IDS)]
"""Image ids with commas between them, as in ``3,7``; see :func:`image_ids`."""


def image_ids(name: str, text: str) -> list[int]:
    """The ids in ``3,7``.

    Args:
        name: of the query parameter, for the error message.
        text: its value.

    Raises:
        BadInput: it is not a list of numbers, or too long.
    """
    parts = [part for part in text.split(",") if part]
    if len(parts) > MOST_IDS or not all(part.isascii() and part.isdecimal() for part in parts):
        raise BadInput(f"'{name}' is not a list of image numbers.", "Write it like 3,7,12.")
    ids = [int(part) for part in parts]
    if any(each > LARGEST_ID for each in ids):
        raise BadInput(f"'{name}' names an image that cannot exist.")
    return ids
