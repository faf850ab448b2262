"""Where the training runs of a project are kept: ``session-1``, ``session-2`` … in the project's folder."""

from __future__ import annotations

from pathlib import Path

PREFIX = "session-"


def session_folders(folder: Path) -> list[tuple[int, Path]]:
    """The training runs of a project, the oldest first, with their numbers."""
    found = [path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted((int(path.name.removeprefix(PREFIX)), path) for path in found)
