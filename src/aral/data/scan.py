"""The files below a folder; links cannot lead into a loop or out of it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from aral.data.unreadable import Reason, Unreadable

_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True)
class Found:
    """The contents of a folder.

    Attributes:
        files: regular files, relative to the folder with ``/``, sorted.
        left_out: what is there but cannot be read as a file, sorted by path.
    """

    files: tuple[str, ...]
    left_out: tuple[Unreadable, ...]


def scan(folder: Path, follow_links: bool = False) -> Found:
    """Every regular file below a folder, at any depth, each once.

    Hidden files and folders, and those that operating systems leave behind (``._x``, ``__MACOSX``,
    ``Thumbs.db``), are skipped. Symbolic links come last, so that a file is listed under its own path; a
    folder is never entered twice, so a loop ends.

    Args:
        folder: the folder; it may itself be a link.
        follow_links: follow links that lead out of the folder as well.
    """
    walk = _Walk(Path(os.path.realpath(folder)), follow_links)
    walk.run()
    return Found(
        tuple(sorted(walk.files)), tuple(sorted(walk.left_out, key=lambda item: (item.path, item.reason)))
    )


@dataclass
class _Walk:
    root: Path
    follow_links: bool
    files: list[str] = field(default_factory=list)
    left_out: list[Unreadable] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)
    folders: list[str] = field(default_factory=lambda: [""])
    links: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Empty the two lists of places still to visit; links wait until nothing else is left."""
        status = self.root.stat()
        self.seen.add((status.st_dev, status.st_ino))
        while self.folders or self.links:
            if self.folders:
                self.list_folder(self.folders.pop())
            else:
                self.follow(self.links.pop(0))

    def list_folder(self, relative: str) -> None:
        """Visit the entries of a folder in order of name; its folders come before later ones."""
        try:
            with os.scandir(self.root / relative) as entries:
                names = sorted((entry.name, entry.is_symlink()) for entry in entries)
        except OSError as error:
            self.leave_out(relative, error)
            return
        first_new = len(self.folders)
        for name, is_link in names:
            if name.startswith(".") or name.lower() in _SYSTEM_FILES:
                continue
            path = f"{relative}/{name}" if relative else name
            if is_link:
                self.links.append(path)
            else:
                self.visit(path)
        self.folders[first_new:] = reversed(self.folders[first_new:])

    def follow(self, relative: str) -> None:
        """Visit what a symbolic link leads to, if it leads to something inside."""
        target = Path(os.path.realpath(self.root / relative))
        if not target.exists():
            self.left_out.append(Unreadable(relative, Reason.BROKEN_LINK, "the link leads nowhere"))
        elif not (self.follow_links or target.is_relative_to(self.root)):
            self.left_out.append(
                Unreadable(relative, Reason.OUTSIDE_FOLDER, f"the link leads out of the folder, to {target}")
            )
        else:
            self.visit(relative)

    def visit(self, relative: str) -> None:
        """List a file, remember a folder, or note why neither; nothing is opened."""
        try:
            status = (self.root / relative).stat()
        except OSError as error:
            self.leave_out(relative, error)
            return
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and not stat.S_ISREG(status.st_mode):
            self.left_out.append(Unreadable(relative, Reason.NOT_A_FILE, "a pipe, socket or device"))
            return
        identity = (status.st_dev, status.st_ino)
        if identity in self.seen:
            self.left_out.append(Unreadable(relative, Reason.SAME_FILE, "a second name of something read"))
            return
        self.seen.add(identity)
        (self.folders if is_folder else self.files).append(relative)

    def leave_out(self, relative: str, error: OSError) -> None:
        """Note a folder or file that the system does not let the program read."""
        missing = isinstance(error, FileNotFoundError)
        self.left_out.append(
            Unreadable(relative, Reason.MISSING if missing else Reason.NO_PERMISSION, error.strerror or "")
        )
