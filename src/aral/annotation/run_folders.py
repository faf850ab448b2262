"""Where the sessions of a project are kept."""

from __future__ import annotations

from pathlib import Path

PREFIX = "session-"


def session_folders(folder: Path) -> list[tuple[int, Path]]:
    """The courses of a project, the oldest first, with their numbers."""
    found = [path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted((int(path.name.removeprefix(PREFIX)), path) for path in found)
