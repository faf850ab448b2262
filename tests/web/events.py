"""Answers as the page sends them."""

from __future__ import annotations

from itertools import count
from typing import Any

_numbers = count()


def event(image_id: int, action: str = "class", class_id: int | None = 0, **more: Any) -> dict[str, Any]:
    """One answer under a key of its own."""
    return {
        "key": f"test-key-{next(_numbers):06d}",
        "image_id": image_id,
        "annotator": "Ann",
        "action": action,
        "class_id": class_id if action == "class" else None,
        **more,
    }
