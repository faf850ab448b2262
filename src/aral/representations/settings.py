"""Which representation a run uses: a backbone by name, how images are framed for it, how features are reduced."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from aral.settings import Settings

AUTO = "auto"
"""In place of a name: chosen from the images (:mod:`aral.representations.choice`) before anything is read."""

PIXELS = "pixels"
"""The images themselves; no backbone."""

GIVEN = "given"
"""Features that were computed elsewhere, in place of a backbone."""

EMBEDDED = "efficientnet-lite0-spatial"
"""The backbone that comes with aral: EfficientNet-Lite0 with the means of quarters of an image."""

POOLED = "efficientnet-lite0"
"""The same network with its pooled features alone, as it was published."""

SIDE_FOR_SMALL_IMAGES = 160
"""At which the embedded backbone reads images of 8 to 64 pixels: as accurate as 224, twice as fast (CIFAR-10)."""


LARGEST_GREY_SIDE = 64
"""Grey images of so many pixels or fewer a side are digits, drawings, characters: pixels serve."""

LARGEST_TINY_SIDE = 16
"""In colour images of so many pixels or fewer a side a backbone may see nothing; larger ones are photographs."""


def backbone_by_size(side: int, channels: int) -> str | None:
    """The backbone that size and colour alone decide, or pixels; None where the images themselves have to be compared.

    Args:
        side: of the images, the shorter one, in pixels.
        channels: 3 for colour, 1 for grey.
    """
    if channels == 1:
        return PIXELS if side <= LARGEST_GREY_SIDE else None
    return EMBEDDED if side > LARGEST_TINY_SIDE else None


class Fit(StrEnum):
    """How an image becomes a square."""

    PAD = "pad"
    """The whole image: its longer side is brought to the side of the square, the rest is filled."""
    CROP = "crop"
    """A centred square of it."""
    SQUASH = "squash"
    """The whole image; its proportions are lost."""


class RepresentationSettings(Settings):
    """From images to what the learner reads. With ``pixels`` nothing else here has an effect."""

    backbone: str = PIXELS  # "timm:NAME", …: docs/representations.md; "auto" before a run
    side: int | None = Field(None, ge=8)  # of the squares that the backbone reads; None: its own
    fit: Fit | None = None  # how images become squares; None: the backbone's way
    components: int = Field(128, ge=0)  # principal components that are kept; 0: all features, standardised
    precision: Literal["float16", "float32"] = "float16"  # of the features in the cache

    @property
    def is_pixels(self) -> bool:
        """Whether learners read the images themselves."""
        return self.backbone == PIXELS

    @property
    def suffix(self) -> str:
        """For names of folders: the backbone after a hyphen; empty for pixels and for given features."""
        return "" if self.backbone in (PIXELS, GIVEN) else f"-{safe_name(self.backbone)}"


def safe_name(text: str) -> str:
    """Text as a part of a file name: other characters than letters, digits and ``-_.`` become ``-``."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in text)
