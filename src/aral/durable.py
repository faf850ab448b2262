"""Files and folders that are written completely or not at all, whenever the process is killed.

:func:`write_file` replaces one file, and :func:`writing` one that is written piece by piece. :func:`write_sealed`
writes a folder, the form of checkpoints: the files are written to a temporary folder, flushed to the disk with a
manifest that holds the size and SHA-256 of each, and the folder is renamed. :func:`read_sealed` verifies every byte
against the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias
from uuid import uuid4

from aral.errors import RunFailed

Json: TypeAlias = dict[str, Any] | list[Any] | str | float | int | bool | None
"""A JSON value, NaN and infinities included. Tuples come back as lists, keys as text."""

FORMAT = 1
MANIFEST = "MANIFEST.json"
STAGED = ".tmp-"
SET_ASIDE = ".old-"

SPARE_BYTES = 1 << 20
"""Space that must be free for the folder and the manifest, beside the files."""


class DamagedCheckpoint(RunFailed):
    """The files of a checkpoint differ from what was saved; another checkpoint must be used.

    Args:
        path: the checkpoint's folder.
        difference: the file and what differs in it.
    """

    def __init__(self, path: Path, difference: str) -> None:
        super().__init__(f"Checkpoint {path} is damaged: {difference}.", "Use the one before it.")
        self.path = path


def write_file(path: Path, content: bytes, private: bool = False) -> None:
    """Write a file, replacing an older one in one step; when this returns it is on the disk.

    Args:
        path: the file.
        content: of the file.
        private: readable by its owner only (mode 0600).

    Raises:
        OSError: the disk is full or refuses; the older file, if any, is in place, unchanged.
    """
    with writing(path, private) as file:
        file.write(content)


@contextmanager
def writing(path: Path, private: bool = False) -> Iterator[BinaryIO]:
    """A file to write to piece by piece; it replaces an older one when the block ends without an error.

    Args:
        path: the file.
        private: readable by its owner only (mode 0600).

    Raises:
        OSError: the disk is full or refuses; the older file, if any, is in place, unchanged.
    """
    staged = path.with_name(f".{path.name}{STAGED}{uuid4().hex}")
    try:
        with staged.open("xb") as file:
            if private:
                os.fchmod(file.fileno(), 0o600)
            yield file
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
    _sync(path.parent)


def remove_staged(folder: Path) -> None:
    """Remove what killed processes left of files in the block of :func:`writing`; no other may write now."""
    for path in folder.glob(f".*{STAGED}*"):
        path.unlink(missing_ok=True)


def write_sealed(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files; when this returns it is on the disk.

    An intact, identical folder of this name stays as it is; any other is renamed until the new one is in its place,
    then removed.

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
    """The contents of the files of a folder by name, every byte verified against its manifest.

    Args:
        path: the folder.
        names: of all its files.

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
    """Remove every checkpoint that is not in ``keep``, and the temporary folders of interrupted saves.

    A checkpoint is renamed first, so a kill leaves no incomplete one under its name.

    Args:
        parent: the folder of the checkpoints; only folders in it are removed.
        keep: names of the checkpoints to keep.

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
    """The manifest of these files, the same bytes for the same files."""
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
    """The path of a folder: its own, or the one that a save left when it was killed between two renames."""
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
        _write_to_disk(staged / name, content)
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


def _write_to_disk(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
