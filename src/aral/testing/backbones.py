"""A backbone without weights, for tests of what is done with features."""

from __future__ import annotations

import hashlib
from threading import Lock

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from aral.representations import Backbone, Framing

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
