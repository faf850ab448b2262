"""Files that could not be read, and the reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a file was left out."""

    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    NO_PERMISSION = "no_permission"
    MISSING = "missing"
    NOT_A_FILE = "not_a_file"
    BROKEN_LINK = "broken_link"
    OUTSIDE_FOLDER = "outside_folder"
    SAME_FILE = "same_file"


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that was left out.

    Attributes:
        path: relative to the folder that was read, with ``/``.
        reason: the kind of problem.
        detail: one sentence to show.
    """

    path: str
    reason: Reason
    detail: str = ""


class Refused(Exception):
    """A file cannot be used."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
