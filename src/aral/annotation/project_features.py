"""The features of a project's images, read by a thread beside labelling and training, the most urgent images first.

Features are kept in the project, in ``.aral/features``, so an image is decoded and passed through the backbone once.
The thread ends with the trainer; whatever it has read survives a kill.
"""

from __future__ import annotations

import threading
import time

import numpy as np
from jaxtyping import Float32

from aral.annotation.project import Project
from aral.errors import AralError, RunFailed
from aral.representations import Backbone, FeatureCache, ImageFiles, extract_features
from aral.representations.extraction import ORIGINAL
from aral.representations.feature_cache import Precision
from aral.types import Ids

FOLDER = "features"
"""In the project's folder; holds the caches of all backbones that were ever used there."""

FIRST_PART, LARGEST_PART = 64, 1024
"""Images that are read before the urgent ones are looked up again: few at first, so that training can begin."""

REST_FACTOR = 20
"""All images are looked up again after so many times the seconds that it took: new ones that are not urgent wait."""

POLL_SECONDS = 0.3


class ProjectFeatures:
    """What is known of the features of a project's images; every method may be called from any thread.

    Args:
        project: whose images.
        backbone: maps images to features.
        precision: of the numbers on the disk.
        workers: threads that decode and compute; None: one a processor.

    Raises:
        BadInput: the cache in the project is damaged or cut short.
    """

    def __init__(
        self,
        project: Project,
        backbone: Backbone,
        precision: Precision = "float16",
        workers: int | None = None,
    ) -> None:
        self.backbone = backbone
        self._project = project
        self._workers = workers
        self._cache = FeatureCache.of(backbone, project.folder / FOLDER, precision)
        self._rows: dict[int, int] = {}
        self._refused: set[int] = set()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._error: AralError | None = None
        self._started = time.monotonic()
        self._read = 0
        self._wanted = 0
        self._changes = -1
        self._state: tuple[int, int] = (0, 0)
        self._planned: dict[int, tuple[int, str, str]] = {}
        self._planned_for: tuple[int, int] | None = None
        self._plan_from = 0.0
        self._looked_at: object = None
        self._thread = threading.Thread(target=self._run, name="aral-features", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._find_cached()
        self._thread.start()

    def close(self) -> None:
        """Stop reading and close the cache; what was read stays."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        self._cache.close()

    @property
    def has_failed(self) -> bool:
        """Whether the thread has ended with an error, which :meth:`check` raises."""
        return self._error is not None

    def check(self) -> None:
        """Raise the error that the thread has ended with, if it has."""
        if self._error is not None:
            raise self._error

    def ids(self) -> Ids:
        """The images whose features are there, ascending."""
        with self._lock:
            return np.array(sorted(self._rows), dtype=np.int64)

    def count(self) -> int:
        """How many images have features."""
        return len(self._rows)

    def of(self, ids: Ids) -> Float32[np.ndarray, "n F"]:
        """The features of images, in the order of the ids.

        Raises:
            KeyError: the features of an image are not there.
        """
        with self._lock:
            rows = np.array([self._rows[image] for image in ids.tolist()], dtype=np.int64)
        return self._cache.rows(rows)

    @property
    def is_complete(self) -> bool:
        """Whether all images that can be read now were read."""
        return self._wanted == 0 and self._looked_at == self._labelable()

    @property
    def refused(self) -> int:
        """How many images could not be read again, because their file has gone or changed since the import."""
        return len(self._refused)

    def progress(self) -> tuple[int, int, float | None]:
        """Images read, images in all, and the minutes left; None while that is unknown."""
        with self._lock:
            done, left = len(self._rows), self._wanted
        seconds = time.monotonic() - self._started
        minutes = left * seconds / self._read / 60 if self._read >= FIRST_PART else None
        return done, done + left, minutes

    # The thread

    def _run(self) -> None:
        part = FIRST_PART
        try:
            while not self._ending.is_set():
                state = self._labelable()
                wanted = self._next(part, state)
                if wanted:
                    self._extract(wanted)
                    part = min(LARGEST_PART, 2 * part)
                else:
                    self._wait(state)
        except AralError as error:
            self._error = error
        except Exception as error:  # otherwise the thread ends unseen, and training waits for ever
            self._error = RunFailed(f"Images could not be read: {type(error).__name__}: {error}.")
            self._error.__cause__ = error

    def _wait(self, state: object) -> None:
        while not self._ending.wait(POLL_SECONDS) and self._labelable() == state:
            pass

    def _labelable(self) -> tuple[int, int]:
        """Two numbers that change when other images can be labelled; looked up once for a state of the project."""
        changes = self._project.changes()
        with self._lock:
            if changes == self._changes:
                return self._state
        state = self._project.images.labelable_state()
        with self._lock:
            self._changes, self._state = changes, state
        return state

    def _next(self, count: int, state: tuple[int, int]) -> list[tuple[int, str, str]]:
        """Id, name and digest of images without features, the most urgent first; none once there are features of all.

        All images are looked up when others can be labelled, but not so often that reading waits for it.
        """
        if self._planned_for != state and (not self._planned or time.monotonic() >= self._plan_from):
            started = time.monotonic()
            missing = self._missing(self._project.images.by_urgency())
            self._planned = {each[0]: each for each in missing}
            self._planned_for = state
            now = time.monotonic()
            self._plan_from = now + REST_FACTOR * (now - started)
        self._wanted = len(self._planned)
        if not self._planned:
            self._looked_at = state
            return []
        chosen = {
            each[0]: each for each in self._missing(self._project.images.by_urgency(urgent_only=True))[:count]
        }
        for each in self._planned.values():
            if len(chosen) >= count:
                break
            chosen.setdefault(each[0], each)
        return list(chosen.values())

    def _missing(self, found: list[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
        with self._lock:
            return [each for each in found if each[0] not in self._rows and each[0] not in self._refused]

    def _find_cached(self) -> None:
        """Look up what earlier runs have read."""
        known = self._project.images.digests()
        cached = self._cache.find([(digest, ORIGINAL) for digest in known.values()])
        with self._lock:
            self._rows |= {
                image: cached[digest, ORIGINAL].row
                for image, digest in known.items()
                if (digest, ORIGINAL) in cached
            }

    def _extract(self, wanted: list[tuple[int, str, str]]) -> None:
        ids, names, digests = zip(*wanted, strict=True)
        found = extract_features(
            ImageFiles(self._project.photos, names, self._project.images.most_pixels(), digests),
            self.backbone,
            self._cache,
            stopping=self._ending.is_set,
            workers=self._workers,
        )
        new = {ids[position]: each.row for (position, _), each in found.cached.items()}
        with self._lock:
            self._rows |= new
            self._read += len(new)
            if found.complete:
                self._refused |= set(ids) - new.keys()
        for image in ids:
            if image in self._rows or image in self._refused:
                self._planned.pop(image, None)
        self._wanted = len(self._planned)
