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
"""Images that are read before the next ones are chosen anew by urgency: few at first, so that training can begin."""

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
        return self._wanted == 0 and self._looked_at == self._project.images.labelable_state()

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
                state = self._project.images.labelable_state()
                wanted = self._missing()
                self._wanted, self._looked_at = len(wanted), state
                if wanted:
                    self._extract(wanted[:part])
                    part = min(LARGEST_PART, 2 * part)
                else:
                    self._wait(state)
        except AralError as error:
            self._error = error
        except Exception as error:  # otherwise the thread ends unseen, and training waits for ever
            self._error = RunFailed(f"Images could not be read: {type(error).__name__}: {error}.")
            self._error.__cause__ = error

    def _wait(self, state: object) -> None:
        while not self._ending.wait(POLL_SECONDS) and self._project.images.labelable_state() == state:
            pass

    def _missing(self) -> list[tuple[int, str, str]]:
        """Id, name and digest of the images without features, the most urgent first."""
        found = self._project.images.by_urgency()
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
            self._wanted -= len(new)
            if found.complete:
                self._refused |= set(ids) - new.keys()
