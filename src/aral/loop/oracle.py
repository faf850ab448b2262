"""What a session asks of whoever labels."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from aral.types import Answer, Selection


@runtime_checkable
class Oracle(Protocol):
    """Answers selections, at once or over days, all of them or some."""

    @property
    def name(self) -> str:
        """Recorded as the annotator of each answer."""
        ...

    def request(self, selection: Selection) -> None:
        """Take note of images to be labelled; asking twice for the same image is harmless."""
        ...

    def collect(self) -> list[Answer]:
        """Answers that have arrived since the last call; may be empty."""
        ...
