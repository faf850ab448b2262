"""``classes.json`` beside class folders: the classes' names as they were before they became names of folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aral.errors import BadInput

CLASS_NAMES = "classes.json"
"""``{"classes": [{"folder": "a_b", "name": "a/b"}, …]}``, as ``aral export`` writes it."""

_MOST_BYTES = 2**24


def class_names_of_folders(folder: Path) -> dict[str, str]:
    """Name of the class by name of the folder; empty without such a file, or if it has another form.

    Raises:
        BadInput: it has this form, but a folder or name is missing, no text, or there twice.
    """
    document = _document(folder / CLASS_NAMES)
    listed = document.get("classes") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not any(
        isinstance(each, dict) and "folder" in each for each in listed
    ):
        return {}
    names: dict[str, str] = {}
    for each in listed:
        inside, name = (each.get("folder"), each.get("name")) if isinstance(each, dict) else (None, None)
        if not isinstance(inside, str) or not isinstance(name, str) or not inside or not name.strip():
            raise BadInput(
                f"{folder / CLASS_NAMES} has an entry without folder or name: {json.dumps(each)[:80]}.",
                "Give each class folder its name, or remove the file.",
            )
        if inside in names or name in names.values():
            raise BadInput(
                f"{folder / CLASS_NAMES} names {inside!r} or {name!r} twice.",
                "Name each folder and class once.",
            )
        names[inside] = name
    return names


def _document(path: Path) -> Any:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
