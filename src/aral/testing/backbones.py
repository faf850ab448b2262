"""Backbones without weights, with and without a text tower, for tests of what is done with features."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from aral.representations import Backbone, Framing, TextTower

_CELLS = 2


class CountingTrunk(nn.Module):
    """The mean colours of a 2×2 grid as features; counts the images that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.images = 0
        self._lock = Lock()

    def forward(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N F"]:
        """Twelve numbers an image."""
        with self._lock:
            self.images += len(images)
        return adaptive_avg_pool2d(images, _CELLS).flatten(1)


def tiny_backbone(name: str = "tiny", side: int = 8, trunk: nn.Module | None = None) -> Backbone:
    """A backbone of twelve features, the mean colours of a 2×2 grid.

    Args:
        name: decides the digest too.
        side: of what it reads.
        trunk: instead of a :class:`CountingTrunk`; twelve features too.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()
    framing = Framing(side=side)
    return Backbone(name, "MIT", "no weights", digest, 3 * _CELLS**2, framing, trunk or CountingTrunk())


COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
"""The words that :class:`ColourWords` knows."""


class ColourWords:
    """Text to features of images of plain colour; counts the texts that it was given."""

    def __init__(self, framing: Framing) -> None:
        self.texts = 0
        self._mean, self._std = torch.tensor(framing.mean), torch.tensor(framing.std)

    def __call__(self, texts: Sequence[str]) -> Float[Tensor, "n F"]:
        """The features of a plain image of the colours that are named, added up; white without any."""
        self.texts += len(texts)
        named = [
            torch.tensor([COLOURS[word] for word in re.findall(r"\w+", text) if word in COLOURS])
            for text in texts
        ]
        pixels = [each.sum(0) if len(each) else torch.full((3,), 255) for each in named]
        plain = (torch.stack(pixels) - self._mean) / self._std
        return plain[:, :, None].expand(-1, 3, _CELLS**2).flatten(1)


def text_image_backbone(name: str = "tiny-text", side: int = 8) -> Backbone:
    """:func:`tiny_backbone` with a text tower that knows the names of three colours.

    Args:
        name: decides the digest too.
        side: of what it reads.
    """
    backbone = tiny_backbone(name, side)
    return replace(backbone, text=TextTower(ColourWords(backbone.framing), logit_scale=10.0))
