"""Features of shards: two files a shard, in a folder that all machines may share.

``NAME.npy`` has the features of the images that can be decoded, float16, in their order; it is read through a memory
map. ``NAME.json`` says what they are of: shard and version, backbone, keys, and the images that could not be decoded.
It is written last, so features that it names are complete, and a process that is killed leaves at most a file without a
name. Two processes that compute one shard at once write the same.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float16, Float32, Int64

from aral.data.shards import Shard, ShardImage, ShardReading
from aral.data.unreadable import Reason, Unreadable
from aral.durable import remove_staged, write_file, writing
from aral.errors import BadInput, Stopped
from aral.representations.backbone import Backbone
from aral.representations.extraction import ImageBytes, features_in_order
from aral.representations.feature_cache import FORMAT, folder_name
from aral.representations.settings import safe_name
from aral.representations.weights import cache_folder

IMAGES_AT_ONCE, BYTES_AT_ONCE = 64, 32 << 20
"""Encoded images that are decoded together; as many are read ahead."""


class Absent(StrEnum):
    """Why the features of a shard have to be computed."""

    NEW = "not computed yet"
    CHANGED = "of another version of the shard"
    OTHER_KEYS = "with other keys"
    DAMAGED = "damaged"


@dataclass(frozen=True, eq=False)
class ShardFeatures:
    """The features of a shard that are on the disk.

    Attributes:
        shard: what they are of.
        path: of the ``.npy`` file, N×F float16.
        keys: N, of the images that were decoded.
        rows: N, the row of each within the shard.
        unreadable: the images that could not be decoded; the path is the key.
        not_read: members of a tar that are no images, by extension.
        without_image: samples of a tar without an image.
    """

    shard: Shard
    path: Path
    keys: Sequence[str]
    rows: Int64[np.ndarray, " N"]
    unreadable: Sequence[Unreadable]
    not_read: Counter[str]
    without_image: int

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def unreadable_rows(self) -> list[int]:
        """The rows within the shard of the images that could not be decoded, ascending."""
        count = len(self) + len(self.unreadable)
        found: list[int] = np.setdiff1d(np.arange(count), self.rows, assume_unique=True).tolist()
        return found

    def features(self) -> Float16[np.ndarray, "N F"]:
        """All features, mapped from the file."""
        found: Float16[np.ndarray, "N F"] = np.load(self.path, mmap_mode="r" if len(self) else None)
        return found


class FeaturesFolder:
    """The features of shards by one backbone.

    Args:
        root: the folder that holds those of several; by default ``aral/shard-features`` in the user's cache folder.
        backbone: whose features.

    Raises:
        BadInput: the folder cannot be made.
    """

    def __init__(self, root: Path | None, backbone: Backbone) -> None:
        self.backbone = backbone
        self.path = (root or cache_folder() / "shard-features").absolute() / folder_name(backbone, "float16")
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"The folder {self.path} cannot be made: {error.strerror}.", "Give another: --features FOLDER"
            ) from error

    def find(self, shard: Shard) -> ShardFeatures | Absent:
        """The features of a shard, or why they have to be computed."""
        about = self._about(shard)
        if isinstance(about, Absent):
            return about
        return self._found(shard, about) if about["shard"]["keys"] == shard.keys else Absent.OTHER_KEYS

    def compute(
        self,
        shard: Shard,
        progress: Callable[[int], None] = lambda bytes_read: None,
        stopping: Callable[[], bool] = lambda: False,
        workers: int | None = None,
    ) -> ShardFeatures:
        """Compute the features of a shard; memory does not grow with the shard but for its keys.

        An image that cannot be decoded is listed, and stops nothing. Where only other keys are asked for, they are
        read, and the features stay.

        Args:
            shard: whose images.
            progress: given the bytes of the shard that were read.
            stopping: asked after some images; true stops, and what was computed of this shard is lost.
            workers: threads; by default one a core.

        Raises:
            BadInput: the shard is cut short or damaged, has changed, or has a key twice; or features are not finite.
            RunFailed: the shard cannot be read.
            Stopped: ``stopping`` returned true.
        """
        reading = ShardReading(shard)
        about = self._about(shard)
        kept = about if isinstance(about, dict) else {}
        name = kept.get("features") or f"{self.name_of(shard)}-{_short(shard.version)}.npy"
        found = _Computed()
        if kept:
            self._read_keys(kept, reading, found, progress, stopping)
        else:
            with writing(self.path / name) as file:
                self._compute(file, reading, found, progress, stopping, workers)
        written = {
            "format": FORMAT,
            "backbone": self.backbone.name,
            "backbone key": self.backbone.key,
            "features": name,
            "shard": shard.as_json(),
            "keys": found.keys,
            "unreadable": [[row, bad.path, bad.reason, bad.detail] for row, bad in found.unreadable.items()],
            "not read": reading.not_read,
            "without image": reading.without_image,
        }
        write_file(self.path / f"{self.name_of(shard)}.json", json.dumps(written).encode())
        for old in self.path.glob(f"{self.name_of(shard)}-*.npy"):
            if old.name != name:  # of another version
                old.unlink(missing_ok=True)
        return self._found(shard, written)

    def remove_unfinished(self) -> None:
        """Remove what killed processes left; no other may compute now."""
        remove_staged(self.path)

    def _compute(
        self,
        file: BinaryIO,
        reading: ShardReading,
        found: _Computed,
        progress: Callable[[int], None],
        stopping: Callable[[], bool],
        workers: int | None,
    ) -> None:
        rows = _RowsFile(file, self.backbone.feature_size)
        for images in _read_ahead(_some(reading)):
            _check(stopping)
            contents = ImageBytes([image.key for image in images], [image.content for image in images])
            new = []
            for image, features in zip(
                images, features_in_order(contents, self.backbone, workers), strict=True
            ):
                if isinstance(features, Unreadable):
                    found.unreadable[found.count] = features
                else:
                    found.keys.append(image.key)
                    new.append(features)
                found.count += 1
            if new:
                rows.append(np.stack(new), self.backbone.name)
            progress(reading.bytes_read)
        rows.close()

    def _read_keys(
        self,
        kept: dict[str, Any],
        reading: ShardReading,
        found: _Computed,
        progress: Callable[[int], None],
        stopping: Callable[[], bool],
    ) -> None:
        """Only the keys: the features are there."""
        bad = {row: (reason, detail) for row, _, reason, detail in kept["unreadable"]}
        for image in reading:
            if found.count in bad:
                reason, detail = bad[found.count]
                found.unreadable[found.count] = Unreadable(image.key, Reason(reason), detail)
            else:
                found.keys.append(image.key)
            found.count += 1
            if found.count % IMAGES_AT_ONCE == 0:
                _check(stopping)
                progress(reading.bytes_read)

    def _about(self, shard: Shard) -> dict[str, Any] | Absent:
        """What is written about features of this version of a shard, with whatever keys."""
        try:
            about = json.loads((self.path / f"{self.name_of(shard)}.json").read_bytes())
            recorded = Shard.of_json(about["shard"])
            features = np.load(self.path / about["features"], mmap_mode="r" if about["keys"] else None)
            expected = (len(about["keys"]), self.backbone.feature_size)
            of_this = (about["format"], about["backbone key"]) == (FORMAT, self.backbone.key)
        except FileNotFoundError as error:
            return Absent.NEW if str(error.filename).endswith(".json") else Absent.DAMAGED
        except (ValueError, KeyError, TypeError, EOFError, OSError):
            return Absent.DAMAGED
        if not of_this or features.shape != expected or features.dtype != np.float16:
            return Absent.DAMAGED
        if recorded.version != shard.version:
            return Absent.CHANGED
        return dict(about)

    def _found(self, shard: Shard, about: dict[str, Any]) -> ShardFeatures:
        bad = {
            row: Unreadable(key, Reason(reason), detail) for row, key, reason, detail in about["unreadable"]
        }
        count = len(about["keys"]) + len(bad)
        rows = np.setdiff1d(np.arange(count), np.array(list(bad), dtype=np.int64), assume_unique=True)
        return ShardFeatures(
            shard,
            self.path / about["features"],
            about["keys"],
            rows,
            tuple(bad.values()),
            Counter(about["not read"]),
            about["without image"],
        )

    def name_of(self, shard: Shard) -> str:
        """Of the files of a shard: its own, so that people find it, and a digest of the whole address."""
        name = safe_name(PurePosixPath(shard.address).stem)[-60:]
        return f"{name}-{_short(f'{shard.address} {shard.image}')}"


class _Computed:
    """Keys of the images that were decoded, the others by row, and the number of all."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.unreadable: dict[int, Unreadable] = {}
        self.count = 0


class _RowsFile:
    """A ``.npy`` file of as many rows as are appended.

    Args:
        file: empty.
        size: F.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size, self._rows = file, size, 0
        self._header()
        self._start = file.tell()

    def append(self, features: Float32[np.ndarray, "n F"], backbone: str) -> None:
        """Write rows as float16; BadInput if a number is too large for that."""
        with np.errstate(over="ignore"):
            stored = features.astype("<f2")
        if not np.isfinite(stored).all():
            raise BadInput(
                f"Features of '{backbone}' are too large for float16.",
                "Choose another: --representation NAME",
            )
        self._file.write(stored.tobytes())
        self._rows += len(stored)

    def close(self) -> None:
        """Write the number of rows into the header, which NumPy leaves space for."""
        self._file.seek(0)
        self._header()
        if self._file.tell() != self._start:
            raise ValueError("the header of a .npy file has another length")

    def _header(self) -> None:
        about = {"descr": "<f2", "fortran_order": False, "shape": (self._rows, self._size)}
        np.lib.format.write_array_header_1_0(self._file, about)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check(stopping: Callable[[], bool]) -> None:
    if stopping():
        raise Stopped("Stopped; features of finished shards are kept.", "Run the same command to continue.")


def _some(reading: ShardReading) -> Iterator[list[ShardImage]]:
    """The images of a shard, some at a time."""
    images: list[ShardImage] = []
    size = 0
    for image in reading:
        images.append(image)
        size += len(image.content) if isinstance(image.content, bytes) else 0
        if len(images) >= IMAGES_AT_ONCE or size >= BYTES_AT_ONCE:
            yield images
            images, size = [], 0
    if images:
        yield images


def _read_ahead(parts: Iterator[list[ShardImage]]) -> Iterator[list[ShardImage]]:
    """The same; while one part is used, the next is read."""
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[list[ShardImage]] = pool.submit(next, parts, [])
        while part := waiting.result():
            waiting = pool.submit(next, parts, [])
            yield part
