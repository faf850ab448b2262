"""A folder of files that is complete or not there, and proves it: the form in which checkpoints are kept.

The files are written beside their final place, pushed to the disk, described by a manifest with the size and
SHA-256 of each, and renamed. A kill at any moment leaves the old or the new folder, never half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

from aral.errors import RunFailed

Json: TypeAlias = dict[str, Any] | list[Any] | str | float | int | bool | None
"""A JSON value, NaN and infinities included. Tuples come back as lists, keys as text."""

FORMAT = 1
MANIFEST = "MANIFEST.json"
STAGED = ".tmp-"
SET_ASIDE = ".old-"

SPARE_BYTES = 1 << 20
"""Room for the folder and the manifest, asked for on top of the files."""


class DamagedCheckpoint(RunFailed):
    """A checkpoint is not what was saved; another one must be used.

    Args:
        path: the checkpoint's folder.
        difference: the file and what differs in it.
    """

    def __init__(self, path: Path, difference: str) -> None:
        super().__init__(f"Checkpoint {path} is damaged: {difference}.", "Use the one before it.")
        self.path = path


def write_sealed(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder; when this returns it is on the disk.

    A folder of this name that is intact and identical stays as it is; any other is set aside until the new
    one is in its place.

    Raises:
        RunFailed: the disk is full or refuses; the old folder or the new one is in place, complete.
    """
    if path.name.startswith(".") or STAGED in path.name or SET_ASIDE in path.name:
        raise ValueError(f"{path.name!r} cannot be the name of a checkpoint")
    if path.exists() and _is_intact_copy(path, files):
        return
    bytes_needed = sum(map(len, files.values())) + SPARE_BYTES
    staged = path.with_name(f"{path.name}{STAGED}{uuid4().hex}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < bytes_needed:
            raise OSError(f"only {free} bytes are free")
        _stage(staged, files)
        _publish(staged, path)
    except OSError as error:
        raise RunFailed(
            f"Checkpoint {path} was not saved: {error}; {bytes_needed} bytes are needed.",
            "Free some space or check the permissions, then run the same command again.",
        ) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def read_sealed(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The content of the files of a folder, every byte verified against its manifest.

    Args:
        path: the folder.
        names: the files that it must hold, no more and no fewer.

    Raises:
        DamagedCheckpoint: a file is missing, unreadable, of another size or content than was saved, or the
            manifest is malformed or of an unknown format.
    """
    place = _place(path)
    manifest = _read(path, place, MANIFEST)
    entries = _entries(path, manifest, names)
    files = {name: _read(path, place, name) for name in names}
    if manifest != _manifest(files):
        raise DamagedCheckpoint(path, _difference(entries, files))
    return files


def prune(parent: Path, keep: Set[str]) -> list[str]:
    """Remove every checkpoint that is not kept, and what interrupted saves left behind.

    A checkpoint first loses its name, so that a kill on the way leaves no half of one.

    Args:
        parent: the folder of checkpoints; files in it that are no folders are left alone.
        keep: names of the checkpoints that stay.

    Returns:
        Names of the folders that were removed, in order.

    Raises:
        RunFailed: the disk refuses.
    """
    removed = []
    try:
        for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
            if folder.is_symlink() or not folder.is_dir() or folder.name in keep:
                continue
            name, set_aside, _ = folder.name.rpartition(SET_ASIDE)
            if set_aside and name in keep and not (parent / name).exists():
                folder.replace(parent / name)  # a save was killed between its two renames
                continue
            doomed = folder
            if STAGED not in folder.name:
                doomed = folder.replace(parent / f"{folder.name}{STAGED}{uuid4().hex}")
            shutil.rmtree(doomed)
            removed.append(folder.name)
    except OSError as error:
        raise RunFailed(
            f"Old checkpoints in {parent} were not removed: {error}.", "Check its permissions."
        ) from error
    return removed


def _manifest(files: Mapping[str, bytes]) -> bytes:
    """The one manifest of these files: equal files have equal manifests, byte for byte."""
    described = {name: _description(content) for name, content in files.items()}
    return json.dumps({"format": FORMAT, "files": described}, indent=1, sort_keys=True).encode()


def _description(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _entries(path: Path, manifest: bytes, names: Sequence[str]) -> dict[str, Any]:
    """The manifest's entries by file name."""
    try:
        parsed = json.loads(manifest)
    except (ValueError, RecursionError) as error:
        raise DamagedCheckpoint(path, f"{MANIFEST} is malformed: {error}") from error
    version = parsed.get("format") if isinstance(parsed, dict) else None
    if version != FORMAT:
        raise DamagedCheckpoint(path, f"{MANIFEST} has the unknown format {version!r}, not {FORMAT}")
    entries = parsed.get("files")
    if not isinstance(entries, dict) or set(entries) != set(names):
        raise DamagedCheckpoint(path, f"{MANIFEST} does not describe {' and '.join(names)}")
    return entries


def _difference(entries: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    for name, content in files.items():
        found, expected = _description(content), entries[name]
        if not isinstance(expected, dict) or set(expected) != set(found):
            break
        if expected["size"] != found["size"]:
            return f"{name} has {found['size']} bytes instead of {expected['size']}"
        if expected["sha256"] != found["sha256"]:
            return f"the SHA-256 of {name} differs from the one in {MANIFEST}"
    return f"{MANIFEST} was altered"


def _read(path: Path, place: Path, name: str) -> bytes:
    try:
        return (place / name).read_bytes()
    except FileNotFoundError as error:
        raise DamagedCheckpoint(path, f"{name} is missing") from error
    except OSError as error:
        raise DamagedCheckpoint(path, f"{name} cannot be read: {error.strerror}") from error


def _place(path: Path) -> Path:
    """Where a folder is: under its name, or set aside by a save that was killed between two renames."""
    return path if path.exists() else next(iter(_set_aside(path)), path)


def _set_aside(path: Path) -> list[Path]:
    siblings = path.parent.iterdir() if path.parent.is_dir() else []
    return sorted(folder for folder in siblings if folder.name.startswith(f"{path.name}{SET_ASIDE}"))


def _is_intact_copy(path: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return read_sealed(path, tuple(files)) == files
    except DamagedCheckpoint:
        return False


def _stage(staged: Path, files: Mapping[str, bytes]) -> None:
    staged.mkdir(mode=0o700)
    for name, content in {**files, MANIFEST: _manifest(files)}.items():
        with (staged / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    _sync(staged)


def _publish(staged: Path, path: Path) -> None:
    aside = path.with_name(f"{path.name}{SET_ASIDE}{uuid4().hex}")
    if path.exists():
        path.replace(aside)
    try:
        staged.replace(path)
    except BaseException:
        if aside.exists():
            aside.replace(path)
        raise
    _sync(path.parent)
    for folder in _set_aside(path):
        shutil.rmtree(folder, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Push a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
