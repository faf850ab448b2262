"""Features kept on the disk: each image is decoded and passed through a backbone once.

A cache is a folder with two files. ``features.bin`` has one row an image and view, appended; it is read through a
memory map. ``index.sqlite`` says which row belongs to which content of an image and which view. Rows are written and
synced before the index names them, so a process that is killed leaves at most rows without a name, which are
overwritten. Several processes may fill one cache; each appends in a transaction of its own.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from aral.data.pixel_values import Note
from aral.errors import BadInput, RunFailed
from aral.representations.backbone import Backbone
from aral.representations.settings import safe_name
from aral.representations.weights import cache_folder

Key: TypeAlias = tuple[str, str]
"""Content of an image (SHA-256, 64 hexadecimal digits) and the name of a view of it."""

Precision: TypeAlias = Literal["float16", "float32"]

ROWS, INDEX = "features.bin", "index.sqlite"
FORMAT = 1
"""Of the files, and of how images are decoded and framed; another one gets a folder of its own."""
PATIENCE_SECONDS = 60.0
"""How long an append waits for those of other processes; each of them takes milliseconds."""

_KEYS_AT_ONCE = 400
_ROWS_AT_ONCE = 4096
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS features (
        image TEXT NOT NULL, view TEXT NOT NULL, position INTEGER NOT NULL UNIQUE,
        format TEXT NOT NULL, animated INTEGER NOT NULL, notes TEXT NOT NULL, PRIMARY KEY (image, view)
    ) WITHOUT ROWID""",
)


@dataclass(frozen=True)
class Cached:
    """Where the features of an image are, and what is known of its file.

    Attributes:
        row: in the file of features, from 0.
        format: of the image file, such as ``"PNG"``; empty for arrays.
        animated: the file has more frames than the one that was read.
        notes: what was done to its pixels.
    """

    row: int
    format: str
    animated: bool
    notes: frozenset[Note]


@dataclass(frozen=True, eq=False)
class NewFeatures:
    """Features to append.

    Attributes:
        key: content of the image, and the view.
        values: F numbers.
        format: of the file.
        animated: likewise.
        notes: likewise.
    """

    key: Key
    values: Float32[np.ndarray, " F"]
    format: str = ""
    animated: bool = False
    notes: frozenset[Note] = frozenset()


def folder_name(backbone: Backbone, precision: Precision) -> str:
    """Name of a folder of features; another one for all that are not comparable."""
    return f"{safe_name(backbone.name)[-60:]}-{backbone.key}-{precision}-{FORMAT}"


class FeatureCache:
    """The features of one backbone; every method may be called from any thread.

    Args:
        folder: of this cache only; made if missing.
        backbone: whose features it holds.
        precision: of the numbers on the disk. A cache keeps the one it was made with.

    Raises:
        BadInput: the folder holds features of another backbone, framing or precision, is cut short, damaged, or
            cannot be written.
    """

    def __init__(self, folder: Path, backbone: Backbone, precision: Precision = "float16") -> None:
        self.folder = folder
        self.backbone = backbone
        self._dtype: np.dtype[np.floating] = np.dtype(precision)
        self._row_bytes = backbone.feature_size * self._dtype.itemsize
        self._lock = RLock()
        self._map: mmap.mmap | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(folder / ROWS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BadInput(
                f"The cache of features {folder} cannot be opened: {error.strerror}.",
                "Check its permissions.",
            ) from error
        try:
            self._index = self._open_index()
            try:
                self._check(precision)
            except BaseException:
                self._index.close()
                raise
        except BaseException:
            os.close(self._file)
            raise

    @classmethod
    def of(
        cls, backbone: Backbone, root: Path | None = None, precision: Precision = "float16"
    ) -> FeatureCache:
        """The cache of a backbone below a folder that holds those of several.

        Args:
            backbone: whose features.
            root: by default ``aral/features`` in the user's cache folder.
            precision: of the numbers on the disk.
        """
        root = cache_folder() / "features" if root is None else root
        return cls(root / folder_name(backbone, precision), backbone, precision)

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """How many rows are named by the index."""
        with self._errors():
            return int(self._index.execute("SELECT count(*) FROM features").fetchone()[0])

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        with self._lock:
            if self._file < 0:
                return
            self._index.close()
            if self._map is not None:
                self._map.close()
            os.close(self._file)
            self._file = -1

    def find(self, keys: Sequence[Key]) -> dict[Key, Cached]:
        """Those of the keys whose features are there."""
        found: dict[Key, Cached] = {}
        with self._errors():
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                part = keys[start : start + _KEYS_AT_ONCE]
                values = [value for key in part for value in key]
                # A join in this order: SQLite answers (image, view) IN (VALUES …) by reading the whole table.
                rows = self._index.execute(
                    f"""WITH wanted (image, view) AS (VALUES {", ".join(["(?, ?)"] * len(part))})
                        SELECT f.image, f.view, position, format, animated, notes
                        FROM wanted w CROSS JOIN features f ON f.image = w.image AND f.view = w.view""",
                    values,
                )
                found |= {
                    (image, view): Cached(row, kind, bool(animated), frozenset(map(Note, notes.split())))
                    for image, view, row, kind, animated, notes in rows
                }
        return found

    def rows(self, positions: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n F"]:
        """Features by row, in this order; only the pages of these rows are read.

        Raises:
            BadInput: the file is shorter than the index says.
        """
        found = np.empty((positions.size, self.backbone.feature_size), dtype=np.float32)
        if not positions.size:
            return found
        with self._lock:
            table = self._table(int(positions.max()) + 1)
            for start in range(0, positions.size, _ROWS_AT_ONCE):
                part = positions[start : start + _ROWS_AT_ONCE]
                found[start : start + part.size] = table[part]
            del table  # a map with views of it cannot be closed
        return found

    def append(self, new: Sequence[NewFeatures]) -> dict[Key, Cached]:
        """Write features; when this returns they survive a kill, and other processes see them.

        What another process has appended meanwhile stays as it is.

        Returns:
            where the features of each key are.

        Raises:
            BadInput: numbers are not finite, or too large for the precision of the cache.
            RunFailed: the disk is full or refuses.
        """
        if not new:
            return {}
        values = np.stack([each.values for each in new])
        with np.errstate(over="ignore"):
            stored = values.astype(self._dtype)
        if not np.isfinite(stored).all():
            raise BadInput(
                f"Features of '{self.backbone.name}' are NaN, infinite or too large for {self._dtype}.",
                "Keep them in float32: --set representation.precision=float32",
            )
        with self._errors(), self._transaction():
            known = self.find([each.key for each in new])
            start = int(
                self._index.execute("SELECT coalesce(max(position) + 1, 0) FROM features").fetchone()[0]
            )
            fresh = {each.key: row for row, each in enumerate(new) if each.key not in known}
            rows = list(fresh.values())
            places = {key: start + place for place, key in enumerate(fresh)}
            self._write(stored[rows].tobytes(), start * self._row_bytes)
            self._index.executemany(
                "INSERT INTO features VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (*each.key, start + place, each.format, each.animated, " ".join(sorted(each.notes)))
                    for place, each in enumerate(new[row] for row in rows)
                ],
            )
        return known | {
            key: Cached(places[key], new[row].format, new[row].animated, new[row].notes)
            for key, row in fresh.items()
        }

    def _write(self, content: bytes, offset: int) -> None:
        view = memoryview(content)
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written
        os.fdatasync(self._file)

    def _table(self, rows: int) -> Shaped[np.ndarray, "M F"]:
        """The file as an array of at least this many rows."""
        if self._map is None or len(self._map) < rows * self._row_bytes:
            size = os.fstat(self._file).st_size // self._row_bytes * self._row_bytes
            if size < rows * self._row_bytes:
                raise self._cut_short(size // self._row_bytes, rows)
            if self._map is not None:
                self._map.close()
            self._map = mmap.mmap(self._file, size, access=mmap.ACCESS_READ)
        return np.frombuffer(self._map, dtype=self._dtype).reshape(-1, self.backbone.feature_size)

    def _cut_short(self, found: int, named: int) -> BadInput:
        return BadInput(
            f"The cache of features {self.folder} is cut short: {ROWS} has {found} of {named} rows.",
            f"Remove the folder; its features are computed anew: rm -r {self.folder}",
        )

    def _open_index(self) -> sqlite3.Connection:
        path = self.folder / INDEX
        with self._errors():
            index = sqlite3.connect(
                path, timeout=PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                index.execute("PRAGMA journal_mode = WAL")
                # A commit that a power failure takes back loses features, never their agreement with the rows.
                index.execute("PRAGMA synchronous = NORMAL")
            except BaseException:
                index.close()
                raise
            return index

    def _check(self, precision: Precision) -> None:
        """Record whose features these are, or compare with what is recorded."""
        backbone = self.backbone
        about = {
            "format": str(FORMAT),
            "backbone": backbone.name,
            "digest": backbone.digest,
            "framing": backbone.framing.model_dump_json(),
            "feature size": str(backbone.feature_size),
            "precision": precision,
        }
        with self._errors(), self._transaction():
            for statement in _SCHEMA:
                self._index.execute(statement)
            old = dict(self._index.execute("SELECT name, value FROM about"))
            if not old:
                self._index.executemany("INSERT INTO about VALUES (?, ?)", list(about.items()))
                old = about
            named = int(
                self._index.execute("SELECT coalesce(max(position) + 1, 0) FROM features").fetchone()[0]
            )
        self._refuse_others(about, old)
        size = os.fstat(self._file).st_size // self._row_bytes
        if size < named:
            raise self._cut_short(size, named)

    def _refuse_others(self, about: Mapping[str, str], old: Mapping[str, str]) -> None:
        # The name is for people: one file of weights may have two.
        changed = [name for name in about if name != "backbone" and old.get(name) != about[name]]
        if changed:
            raise BadInput(
                f"The cache of features {self.folder} is of backbone '{old.get('backbone', 'unknown')}', not of "
                f"'{self.backbone.name}'; they differ in {', '.join(changed)}.",
                "Give another folder, or remove this one.",
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One process at a time; committed when the block is left, rolled back on an error."""
        with self._lock:
            self._index.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._index.execute("COMMIT")
            except BaseException:
                if self._index.in_transaction:
                    self._index.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """The errors of SQLite and of the disk, in words."""
        with self._lock:
            try:
                yield
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise RunFailed(
                        f"The cache of features {self.folder} cannot be used: {error}.",
                        "Check the disk, its free space and the permissions, then run the same command again.",
                    ) from error
                raise BadInput(
                    f"The cache of features {self.folder} is damaged: {error}.",
                    f"Remove the folder; its features are computed anew: rm -r {self.folder}",
                ) from error
            except OSError as error:
                raise RunFailed(
                    f"The cache of features {self.folder} was not written: {error.strerror}.",
                    "Free some space, then run the same command again.",
                ) from error
