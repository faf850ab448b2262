"""One way to say that images do not fit a family of networks."""

from __future__ import annotations

from aral.errors import BadInput
from aral.networks.interface import ImageShape
from aral.words import counted


def refuse_unless(fits: bool, scale: str, image_shape: ImageShape, accepted: str, instead: str) -> None:
    """Raises BadInput unless an image shape fits.

    Args:
        fits: whether it does.
        scale: name of the family.
        image_shape: (C, H, W) as given.
        accepted: the heights and widths that the family takes, in words.
        instead: what to do with these images.
    """
    if not fits:
        channels, height, width = image_shape
        raise BadInput(
            f"Images of {height}×{width} pixels and {counted(channels, 'channel')} do not fit the '{scale}' "
            f"networks, which accept {accepted}.",
            instead,
        )
