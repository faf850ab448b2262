"""Types that all layers share: sets and batches of images, answers, selections.

The *id* of an image is its row in the pixel tensor of the pool. Every value that belongs to an image is kept
with its id; no function returns positions within a temporary subset.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from aral.errors import BadInput

Ids: TypeAlias = Int64[np.ndarray, " N"]
"""Image ids, unique."""

Pixels: TypeAlias = UInt8[Tensor, "M C H W"] | Float32[Tensor, "M C 1 1"]
"""Images as the networks are given them: uint8 pixels, or features of a backbone as images of one position."""

NO_IDS = np.empty(0, dtype=np.int64)
"""The ids of no image."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images without labels; there is no field for a label.

    Attributes:
        pixels: M×C×H×W, uint8, or M×F×1×1, float32, where a representation has replaced the pixels by F features;
            shared between all subsets of one pool; an id is a row of it.
        ids: the N images that belong to this set, ascending.
    """

    pixels: Pixels
    ids: Int64[np.ndarray, " N"]

    def __post_init__(self) -> None:
        if self.ids.size and (np.diff(self.ids) <= 0).any():
            raise ValueError("ids must be ascending and unique")
        if self.ids.size and not 0 <= int(self.ids[0]) <= int(self.ids[-1]) < len(self.pixels):
            raise ValueError(f"ids {self.ids[0]} to {self.ids[-1]} do not fit {len(self.pixels)} pixel rows")

    def __len__(self) -> int:
        return int(self.ids.size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    @property
    def is_features(self) -> bool:
        """Whether these are features of a representation, not pixels."""
        return self.pixels.is_floating_point()

    @classmethod
    def of(cls, pixels: Pixels) -> ImageSet:
        """All rows of a pixel tensor as one set."""
        return cls(pixels, np.arange(len(pixels), dtype=np.int64))

    def subset(self, ids: Int64[np.ndarray, " n"]) -> ImageSet:
        """The images with these ids, in ascending order of id."""
        return ImageSet(self.pixels, np.sort(ids))

    def without(self, ids: Int64[np.ndarray, " n"]) -> ImageSet:
        """The images of this set whose id is not among ``ids``."""
        return ImageSet(self.pixels, np.setdiff1d(self.ids, ids, assume_unique=True))


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Images with one class each.

    Attributes:
        images: the images.
        classes: class indices in 0..K-1, in the order of ``images.ids``.
        class_count: K.
    """

    images: ImageSet
    classes: Int64[np.ndarray, " N"]
    class_count: int

    def __post_init__(self) -> None:
        if len(self.images) != self.classes.size:
            raise ValueError(f"{len(self.images)} images but {self.classes.size} classes")
        if self.classes.size and not 0 <= self.classes.min() <= self.classes.max() < self.class_count:
            raise BadInput(
                f"Labels must lie between 0 and {self.class_count - 1} for {self.class_count} classes; "
                f"found {self.classes.min()} to {self.classes.max()}.",
                "Number the classes from 0, or raise the count of classes.",
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def ids(self) -> Ids:
        """The ids of the images, ascending."""
        return self.images.ids

    @property
    def class_shares(self) -> Float[np.ndarray, " K"]:
        """Estimated share of each class, (n_k + 1)/(n + K) (Laplace's rule): nearly uniform with few labels.

        Queries are not a random sample, so the shares in the labels need not be those in the pool.
        """
        counts = np.bincount(self.classes, minlength=self.class_count)
        found: Float[np.ndarray, " K"] = (counts + 1) / (counts.sum() + self.class_count)
        return found


@dataclass(frozen=True)
class LabelledBatch:
    """A training batch of labelled images.

    Attributes:
        ids: the images' ids; an image may occur more than once.
        images: N×C×H×W in the range the networks ask for.
        class_probs: N×K, one-hot rows.
    """

    ids: Int64[np.ndarray, " N"]
    images: Float[Tensor, "N C H W"]
    class_probs: Float[Tensor, "N K"]

    def to(self, device: torch.device) -> LabelledBatch:
        """The same batch on a device."""
        return LabelledBatch(self.ids, _sent(self.images, device), _sent(self.class_probs, device))


@dataclass(frozen=True)
class UnlabelledBatch:
    """A training batch of unlabelled images; it has no label field.

    Attributes:
        ids: the images' ids.
        images: N×C×H×W in the range the networks ask for.
    """

    ids: Int64[np.ndarray, " N"]
    images: Float[Tensor, "N C H W"]

    def to(self, device: torch.device) -> UnlabelledBatch:
        """The same batch on a device."""
        return UnlabelledBatch(self.ids, _sent(self.images, device))


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """On a device; from pinned memory to a GPU, so that the copy does not wait for what is computed there."""
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


class NoClass(StrEnum):
    """Why an annotator gave no class."""

    SKIP = "skip"
    UNSURE = "unsure"
    BAD_IMAGE = "bad image"
    NONE_OF_THESE = "none of these"


@dataclass(frozen=True)
class ClassAnswer:
    """An annotator gave the class of an image."""

    image_id: int
    class_index: int


@dataclass(frozen=True)
class NoClassAnswer:
    """An annotator saw an image and gave no class."""

    image_id: int
    reason: NoClass


Answer: TypeAlias = ClassAnswer | NoClassAnswer


@dataclass(frozen=True, eq=False)
class Selection:
    """Images to be labelled next, the most useful first.

    Attributes:
        ids: image ids.
        scores: one finite number an image, higher = label first; comparable within one selection only.
        acquisition: name of the acquisition that chose them.
        reasons: one short sentence an image, to show.
    """

    ids: Int64[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]
    acquisition: str
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.ids.size == self.scores.size == len(self.reasons):
            raise ValueError(f"{self.ids.size} ids, {self.scores.size} scores, {len(self.reasons)} reasons")
        if np.unique(self.ids).size != self.ids.size:
            raise ValueError("an image is selected twice")
        if not np.isfinite(self.scores).all():
            raise ValueError("a selection with non-finite scores is refused")

    def __len__(self) -> int:
        return int(self.ids.size)

    def only(self, ids: Int64[np.ndarray, " k"]) -> Selection:
        """The part of this selection that has these ids, in the same order."""
        kept = np.isin(self.ids, ids)
        reasons = tuple(reason for reason, keep in zip(self.reasons, kept, strict=True) if keep)
        return Selection(self.ids[kept], self.scores[kept], self.acquisition, reasons)


def one_hot(classes: Int64[np.ndarray, " N"], class_count: int) -> Float[Tensor, "N K"]:
    """Class indices as rows of probabilities, the type that labels and predictions share."""
    return torch.nn.functional.one_hot(torch.from_numpy(classes), class_count).float()
