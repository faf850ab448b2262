"""Features of many images, in the order in which they are needed: decoded, passed through a backbone, and cached.

Each worker thread decodes a batch and passes it through the backbone on one core, so decoding and computing overlap and
memory does not grow with the number of images. What the cache has is not computed again. :func:`features_in_order` does
without a cache.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from PIL import Image, ImageOps

from aral.data.image_file import MAX_PIXELS, Opened, open_image, read_image_bytes
from aral.data.unreadable import Reason, Refused, Unreadable
from aral.errors import BadInput
from aral.representations.backbone import Backbone
from aral.representations.feature_cache import Cached, FeatureCache, Key, NewFeatures

ORIGINAL = "original"
VIEWS = (ORIGINAL, "flip", "crop-1", "crop-2", "crop-3", "crop-4", "crop-5")
"""The image, mirrored left to right, and five crops of it: its corners and its centre."""

CROP_SHARE = 0.75
"""Width and height of a crop as a share of the image's."""

_LOOKED_UP_AT_ONCE = 64
_ROWS_A_COMMIT = 64
_SECONDS_A_COMMIT = 2.0


@runtime_checkable
class Images(Protocol):
    """Images that can be read one by one, from any thread."""

    def __len__(self) -> int:
        """How many."""

    def name(self, position: int) -> str:
        """To show, such as a path."""

    def digest(self, position: int) -> str:
        """SHA-256 of the content, 64 hexadecimal digits; Refused if it cannot be read."""

    def open(self, position: int, enough: tuple[int, int]) -> Opened:
        """The image, upright and opaque; Refused if it cannot be decoded.

        Args:
            position: 0 to N − 1.
            enough: see :func:`aral.data.image_file.open_image`.
        """


@dataclass(frozen=True)
class ImageFiles:
    """Files of a folder.

    Attributes:
        folder: what the names are relative to.
        names: N, with ``/``.
        max_pixels: larger images are refused.
        digests: SHA-256 of each file where it is known; a file of other content is refused. By default, files are read
            to find out.
    """

    folder: Path
    names: Sequence[str]
    max_pixels: int = MAX_PIXELS
    digests: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def name(self, position: int) -> str:
        """The path relative to the folder."""
        return self.names[position]

    def digest(self, position: int) -> str:
        """Of the bytes of the file."""
        if self.digests is not None:
            return self.digests[position]
        return hashlib.sha256(read_image_bytes(self.folder / self.names[position])).hexdigest()

    def open(self, position: int, enough: tuple[int, int]) -> Opened:
        """The decoded file."""
        data = read_image_bytes(self.folder / self.names[position])
        if self.digests is not None and hashlib.sha256(data).hexdigest() != self.digests[position]:
            raise Refused(Reason.MISSING, "the file has other content now")
        return open_image(data, self.max_pixels, enough)


@dataclass(frozen=True)
class ImageArrays:
    """Images of an array.

    Attributes:
        pixels: N×C×H×W, 0..255; one channel is grey.
    """

    pixels: UInt8[np.ndarray, "N C H W"]

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, position: int) -> str:
        """Its number."""
        return f"image {position}"

    def digest(self, position: int) -> str:
        """Of the pixels and their shape."""
        pixels = self.pixels[position]
        return hashlib.sha256(str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()

    def open(self, position: int, enough: tuple[int, int]) -> Opened:
        """The pixels as an image."""
        pixels = self.pixels[position]
        grey = len(pixels) == 1
        image = Image.fromarray(pixels[0] if grey else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        return Opened(image, image.width, image.height, "", False, grey, frozenset())


@dataclass(frozen=True, eq=False)
class ImageBytes:
    """Encoded images in memory, such as some of a shard.

    Attributes:
        names: N, to show.
        contents: the files, or why there is none.
        max_pixels: larger images are refused.
    """

    names: Sequence[str]
    contents: Sequence[bytes | Refused]
    max_pixels: int = MAX_PIXELS

    def __len__(self) -> int:
        return len(self.names)

    def name(self, position: int) -> str:
        """As given."""
        return self.names[position]

    def digest(self, position: int) -> str:
        """Of the bytes."""
        return hashlib.sha256(self._content(position)).hexdigest()

    def open(self, position: int, enough: tuple[int, int]) -> Opened:
        """The decoded image."""
        return open_image(self._content(position), self.max_pixels, enough)

    def _content(self, position: int) -> bytes:
        content = self.contents[position]
        if isinstance(content, Refused):
            raise content
        return content


@dataclass(frozen=True, eq=False)
class Extracted:
    """What :func:`extract_features` found.

    Attributes:
        cached: where the features of a position and view are; positions that could not be read are missing.
        unreadable: the images that could not be read, with reasons, in the order in which they were met.
        complete: False when it was stopped before the end.
    """

    cached: dict[tuple[int, str], Cached] = field(default_factory=dict)
    unreadable: list[Unreadable] = field(default_factory=list)
    complete: bool = True

    def rows(self, positions: Iterable[int], view: str = ORIGINAL) -> Int64[np.ndarray, " n"]:
        """The rows of some images in the cache, for :meth:`FeatureCache.rows`."""
        return np.array([self.cached[position, view].row for position in positions], dtype=np.int64)


def extract_features(
    images: Images,
    backbone: Backbone,
    cache: FeatureCache,
    *,
    views: Sequence[str] = (ORIGINAL,),
    order: Iterable[int] | None = None,
    progress: Callable[[int], None] = lambda done: None,
    stopping: Callable[[], bool] = lambda: False,
    workers: int | None = None,
) -> Extracted:
    """Put the features of images into a cache, those that it lacks.

    What was computed is in the cache within seconds, also when the process is killed; the same call continues. An
    image that cannot be decoded is listed and stops nothing. Two images of the same content are computed once.

    Args:
        images: what to read.
        backbone: maps them to features.
        cache: of this backbone.
        views: names out of :data:`VIEWS`.
        order: positions, the most urgent first; read a little ahead, so an iterator may choose as it goes. By default
            all in order.
        progress: given the number of images done, now and then and at the end.
        stopping: asked after each batch; true returns what there is.
        workers: threads; by default one a core.

    Raises:
        BadInput: a view does not exist, or features are not finite.
        RunFailed: the cache cannot be written.
    """
    unknown = [view for view in views if view not in VIEWS]
    if unknown:
        raise BadInput(f"There is no view '{unknown[0]}' of an image.", f"Views: {', '.join(VIEWS)}.")
    workers = workers or os.cpu_count() or 1
    result = Extracted()
    work = _Work(images, backbone, cache, tuple(dict.fromkeys(views)), result)
    with _workers(workers) as pool:
        waiting: deque[Future[_Batch]] = deque()
        batches = work.batches(range(len(images)) if order is None else order, pool)
        while True:
            stopped = stopping()
            while not stopped and len(waiting) < 2 * workers and (batch := next(batches, None)):
                waiting.append(pool.submit(work.compute, batch))
            if not waiting:
                break
            work.add(waiting.popleft().result())
            progress(work.done)
        work.commit()
    progress(work.done)
    return Extracted(result.cached, result.unreadable, not stopped)


def features_in_order(
    images: Images, backbone: Backbone, workers: int | None = None
) -> Iterator[Float32[np.ndarray, " F"] | Unreadable]:
    """The features of each image, or the reason why there are none, in order of position; no cache is used.

    Only some batches are in memory at once. Iterate to the end without a pause: meanwhile Pillow's warnings are
    suppressed in all threads of the process.

    Args:
        images: what to read.
        backbone: maps them to features.
        workers: threads; by default one a core.

    Raises:
        BadInput: features are not finite.
    """
    workers = workers or os.cpu_count() or 1
    starts = iter(range(0, len(images), backbone.batch))
    with _workers(workers) as pool:
        waiting: deque[Future[list[Float32[np.ndarray, " F"] | Unreadable]]] = deque()
        while True:
            while len(waiting) < 2 * workers and (start := next(starts, None)) is not None:
                positions = range(start, min(start + backbone.batch, len(images)))
                waiting.append(pool.submit(_read, images, backbone, positions))
            if not waiting:
                return
            yield from waiting.popleft().result()


def _read(
    images: Images, backbone: Backbone, positions: Sequence[int]
) -> list[Float32[np.ndarray, " F"] | Unreadable]:
    """Features, or what is wrong, of a batch of images."""
    opened = [_opened(images, position, backbone) for position in positions]
    squares = [backbone.framing.frame(each.image) for each in opened if isinstance(each, Opened)]
    rows = iter(_features(backbone, squares))
    return [each if isinstance(each, Unreadable) else next(rows) for each in opened]


def _opened(images: Images, position: int, backbone: Backbone) -> Opened | Unreadable:
    """An image for a backbone, or why it cannot be read."""
    try:
        return images.open(position, backbone.framing.enough)
    except Refused as refused:
        return Unreadable(images.name(position), refused.reason, refused.detail)


def _features(
    backbone: Backbone, squares: Sequence[UInt8[np.ndarray, "3 S S"]]
) -> Float32[np.ndarray, "N F"]:
    if not squares:
        return np.empty((0, backbone.feature_size), dtype=np.float32)
    return backbone.features(torch.from_numpy(np.stack(squares))).numpy()


@contextmanager
def _workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads of one core each: faster than one batch on several cores. What was not begun is dropped at the end."""
    threads_of_torch = torch.get_num_threads()
    try:
        with warnings.catch_warnings(), ThreadPoolExecutor(count, initializer=_one_thread) as pool:
            warnings.simplefilter("ignore")  # Pillow's, of metadata and size, which are checked
            try:
                yield pool
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        # A thread that asks for one core changes what later threads start with.
        torch.set_num_threads(threads_of_torch)


def view_of(image: Image.Image, view: str) -> Image.Image:
    """A view of an image by its name out of :data:`VIEWS`."""
    if view == ORIGINAL:
        return image
    if view == "flip":
        return ImageOps.mirror(image)
    right, down = {"1": (0.0, 0.0), "2": (1.0, 0.0), "3": (0.0, 1.0), "4": (1.0, 1.0), "5": (0.5, 0.5)}[
        view[-1]
    ]
    width, height = (max(1, round(CROP_SHARE * size)) for size in image.size)
    left, top = round(right * (image.width - width)), round(down * (image.height - height))
    return image.crop((left, top, left + width, top + height))


def _one_thread() -> None:
    torch.set_num_threads(1)


@dataclass(frozen=True)
class _Wanted:
    """A view of an image that the cache lacks."""

    position: int
    digest: str
    views: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Batch:
    """What a worker made of some images."""

    wanted: Sequence[_Wanted]
    new: Sequence[NewFeatures]
    unreadable: Sequence[Unreadable]


@dataclass(eq=False)
class _Work:
    """The images, and what has been found so far; only :meth:`compute` runs in the workers."""

    images: Images
    backbone: Backbone
    cache: FeatureCache
    views: tuple[str, ...]
    result: Extracted
    done: int = 0
    pending: list[NewFeatures] = field(default_factory=list)
    computed: dict[Key, list[int]] = field(default_factory=dict)
    committed: float = field(default_factory=time.monotonic)

    def batches(self, order: Iterable[int], pool: ThreadPoolExecutor) -> Iterator[list[_Wanted]]:
        """The views that are missing, a forward pass at a time, in order."""
        batch: list[_Wanted] = []
        for wanted in self._missing(iter(order), pool):
            batch.append(wanted)
            if sum(len(each.views) for each in batch) >= self.backbone.batch:
                yield batch
                batch = []
        if batch:
            yield batch

    def _missing(self, order: Iterator[int], pool: ThreadPoolExecutor) -> Iterator[_Wanted]:
        while positions := list(islice(order, _LOOKED_UP_AT_ONCE)):
            digests = list(pool.map(self._digest, positions))
            keys = [(each, view) for each in digests if isinstance(each, str) for view in self.views]
            found = self.cache.find(keys)
            for position, digest in zip(positions, digests, strict=True):
                if isinstance(digest, Unreadable):
                    self.result.unreadable.append(digest)
                    self.done += 1
                    continue
                views = self._views_missing(position, digest, found)
                if views:
                    yield _Wanted(position, digest, views)
                else:
                    self.done += 1

    def _digest(self, position: int) -> str | Unreadable:
        try:
            return self.images.digest(position)
        except Refused as refused:
            return Unreadable(self.images.name(position), refused.reason, refused.detail)

    def _views_missing(self, position: int, digest: str, found: dict[Key, Cached]) -> tuple[str, ...]:
        """The views of an image that are neither in the cache nor being computed for a copy of it."""
        missing = []
        for view in self.views:
            key = (digest, view)
            if key in found:
                self.result.cached[position, view] = found[key]
            elif key in self.computed:
                self.computed[key].append(position)
            else:
                self.computed[key] = [position]
                missing.append(view)
        return tuple(missing)

    def compute(self, batch: Sequence[_Wanted]) -> _Batch:
        """Decode images and pass them through the backbone."""
        framing = self.backbone.framing
        squares: list[UInt8[np.ndarray, "3 S S"]] = []
        about: list[tuple[Key, Opened]] = []
        unreadable: list[Unreadable] = []
        for wanted in batch:
            opened = _opened(self.images, wanted.position, self.backbone)
            if isinstance(opened, Unreadable):
                unreadable.append(opened)
                continue
            squares += [framing.frame(view_of(opened.image, view)) for view in wanted.views]
            about += [((wanted.digest, view), opened) for view in wanted.views]
        values = _features(self.backbone, squares)
        new = [
            NewFeatures(key, row, opened.format, opened.animated, opened.notes)
            for (key, opened), row in zip(about, values, strict=True)
        ]
        return _Batch(batch, new, unreadable)

    def add(self, batch: _Batch) -> None:
        """Take over what a worker made; commit when enough has come together."""
        self.pending += batch.new
        self.result.unreadable.extend(batch.unreadable)
        self.done += len(batch.wanted)
        made = {each.key for each in batch.new}
        failed = {
            wanted.digest: bad
            for wanted, bad in zip(
                [each for each in batch.wanted if not made.issuperset((each.digest, v) for v in each.views)],
                batch.unreadable,
                strict=True,
            )
        }
        self._report_copies(failed)
        late = time.monotonic() - self.committed > _SECONDS_A_COMMIT
        if len(self.pending) >= _ROWS_A_COMMIT or late:
            self.commit()

    def _report_copies(self, failed: dict[str, Unreadable]) -> None:
        """List the copies of images that could not be decoded; forget their keys."""
        for digest, bad in failed.items():
            copies = {p for view in self.views for p in self.computed.pop((digest, view), ())[1:]}
            self.result.unreadable.extend(
                Unreadable(self.images.name(position), bad.reason, bad.detail) for position in sorted(copies)
            )

    def commit(self) -> None:
        """Append what was computed to the cache, and note where it is."""
        found = self.cache.append(self.pending)
        for key in [each.key for each in self.pending]:
            for position in self.computed.pop(key):
                self.result.cached[position, key[1]] = found[key]
        self.pending = []
        self.committed = time.monotonic()
