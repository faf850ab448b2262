"""A data set: a pool, a test set, and the names of the classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from aral.errors import BadInput
from aral.plural import counted
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet


@dataclass(frozen=True)
class Limits:
    """How many images a reduced experiment keeps.

    Attributes:
        pool_size: images to keep in the pool; ``None`` keeps all.
        test_size: images to keep in the test set; ``None`` keeps all.
        stream: decides which ones, by a random number of their position.
    """

    pool_size: int | None
    test_size: int | None
    stream: Stream


@dataclass(frozen=True)
class FeaturesOf:
    """What made the features of a data set.

    Attributes:
        backbone: name, such as ``"efficientnet-lite0"``; the file of features that were computed elsewhere.
        licence: of its weights; empty if unknown.
        source: of its weights, to show.
        digest: SHA-256 of its weights, or of the given arrays.
        framing: how images were brought into what it reads, as JSON; empty if unknown.
        components: principal components that were kept of its features; 0: all features, standardised.
    """

    backbone: str
    licence: str
    source: str
    digest: str
    framing: str
    components: int


@dataclass(frozen=True, eq=False)
class DataSet:
    """A pool, its hidden classes, and a test set.

    Attributes:
        name: the name shown in tables, such as ``"mnist"``.
        pool: the images that may be queried; ids are 0..N-1.
        pool_classes: the classes of the pool in the order of ``pool.ids``, 0..K-1. For the oracle and the
            evaluator only: never handed to a learner or to an acquisition.
        test: images that are never trained on, with their classes.
        class_names: K names, the index is the class.
        note: to be shown with every result, such as ``"JPEG copy"``; may be empty.
        features_of: what made the features; None where the images are pixels.
        projection: tensors of the projection that the features went through, by name
            (:meth:`aral.representations.Projection.state`); None without one.
        pool_files: the files of the pool's images in the order of their ids, relative to the folder; empty for arrays.

    Raises:
        BadInput: the parts do not fit together.
    """

    name: str
    pool: ImageSet
    pool_classes: Int64[np.ndarray, " N"]
    test: LabelledSet
    class_names: tuple[str, ...]
    note: str = ""
    features_of: FeaturesOf | None = None
    projection: Mapping[str, Tensor] | None = None
    pool_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_pool()
        self._check_classes()

    @property
    def class_count(self) -> int:
        """K."""
        return len(self.class_names)

    def limited(self, pool_size: int | None, test_size: int | None, stream: Stream) -> DataSet:
        """A smaller data set for a reduced experiment, numbered anew from 0, original order kept.

        An image is kept or dropped by a random number of its id, so a smaller subset of the same stream is
        contained in a larger one. The note says what was left out.

        Args:
            pool_size: images to keep in the pool; ``None`` keeps all.
            test_size: images to keep in the test set; ``None`` keeps all.
            stream: decides which images stay.

        Raises:
            BadInput: a size is below 1 or above what there is.
        """
        kept_pool = _chosen(self.pool, pool_size, "pool", stream.child("pool"))
        kept_test = _chosen(self.test.images, test_size, "test set", stream.child("test"))
        changes = [
            kept_of(kept.size, len(whole), part)
            for kept, whole, part in ((kept_pool, self.pool, "pool"), (kept_test, self.test, "test"))
        ]
        return replace(
            self,
            pool=_renumbered(self.pool, kept_pool),
            pool_classes=self.pool_classes[kept_pool],
            test=LabelledSet(
                _renumbered(self.test.images, kept_test), self.test.classes[kept_test], self.class_count
            ),
            note="; ".join(part for part in (self.note, *changes) if part),
            pool_files=files_at(self.pool_files, kept_pool),
        )

    def _check_pool(self) -> None:
        if not len(self.pool) or not len(self.test):
            raise BadInput(
                f"Data set '{self.name}' has {len(self.pool)} pool and "
                f"{counted(len(self.test), 'test image')}.",
                "Give at least one image of each.",
            )
        if len(self.pool) != len(self.pool.pixels):
            raise BadInput(
                f"The pool of '{self.name}' holds {len(self.pool)} of {counted(len(self.pool.pixels), 'image')}.",
                "Number a pool from 0 without gaps; DataSet.limited does this.",
            )
        if self.pool.shape != self.test.images.shape:
            raise BadInput(
                f"Pool images of '{self.name}' are {self.pool.shape}, test images {self.test.images.shape} "
                "(channels, height, width).",
                "Bring both to one size and one number of channels.",
            )

    def _check_classes(self) -> None:
        if len(self.pool) != self.pool_classes.size:
            raise BadInput(
                f"Data set '{self.name}' has {counted(len(self.pool), 'image')} but "
                f"{counted(self.pool_classes.size, 'label')}.",
                "Give one label an image, in the order of the images.",
            )
        if self.pool_files and len(self.pool_files) != len(self.pool):
            raise ValueError(f"{len(self.pool)} images but {len(self.pool_files)} files")
        if len(set(self.class_names)) != self.class_count or self.class_count < 2:
            raise BadInput(
                f"Data set '{self.name}' needs two or more distinct class names, got {self.class_names}.",
                "Give each class a name of its own.",
            )
        if self.test.class_count != self.class_count:
            raise BadInput(
                f"The test set of '{self.name}' has {counted(self.test.class_count, 'class', 'classes')}, "
                f"but {self.class_count} are named.",
                "Give one name a class.",
            )
        LabelledSet(self.pool, self.pool_classes, self.class_count)


def files_at(files: tuple[str, ...], positions: Int64[np.ndarray, " n"]) -> tuple[str, ...]:
    """The files at these positions; empty where there are none."""
    return tuple(files[position] for position in positions.tolist()) if files else ()


def kept_of(kept: int, whole: int, part: str) -> str:
    """The note that a part was reduced; empty if it was not."""
    return f"{kept} of {counted(whole, f'{part} image')}" if kept < whole else ""


def _chosen(images: ImageSet, size: int | None, part: str, stream: Stream) -> Int64[np.ndarray, " n"]:
    """Positions of the images to keep, ascending."""
    if size is None:
        return np.arange(len(images), dtype=np.int64)
    if not 1 <= size <= len(images):
        raise BadInput(
            f"Cannot keep {counted(size, 'image')} of the {part}: it has {len(images)}.",
            f"Ask for 1 to {len(images)}.",
        )
    return np.sort(np.argsort(stream.uniform(images.ids), kind="stable")[:size]).astype(np.int64)


def _renumbered(images: ImageSet, positions: Int64[np.ndarray, " n"]) -> ImageSet:
    if len(images) == len(images.pixels) == positions.size:  # all of them: no copy
        return images
    return ImageSet.of(images.pixels[images.ids[positions]])


def check_memory(bytes_needed: int, path: Path) -> None:
    """Refuse to read images that need more memory than the machine has, where the system tells how much it has.

    Args:
        bytes_needed: by the decoded images.
        path: of their file or folder, for the message.

    Raises:
        BadInput: the machine has less.
    """
    if not hasattr(os, "sysconf"):
        return
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if bytes_needed > available:
        raise BadInput(
            f"The images of {path} would take {bytes_needed / 2**30:.0f} GiB of memory; this machine has "
            f"{available / 2**30:.0f} GiB.",
            "Choose a smaller side, or fewer images.",
        )
