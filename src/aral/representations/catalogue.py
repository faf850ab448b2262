"""Backbones by name."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from aral.errors import BadInput, unknown_name
from aral.representations.backbone import Backbone
from aral.representations.efficientnet_lite import NAME as EFFICIENTNET_LITE0
from aral.representations.efficientnet_lite import efficientnet_lite0
from aral.representations.settings import PIXELS, RepresentationSettings

NAMES = (EFFICIENTNET_LITE0, PIXELS)
"""Representations that need no further name."""


def make_backbone(settings: RepresentationSettings, download: bool = False) -> Backbone:
    """The backbone of a representation, with its weights.

    Args:
        settings: its name and framing.
        download: whether weights that are not on this machine may be fetched.

    Raises:
        BadInput: the name is unknown, a package or the weights are missing (it says what to install or download), or
            the weights are damaged.
    """
    backbone = _by_name(settings.backbone, download)
    framing = backbone.framing
    changes = {name: value for name in ("side", "fit") if (value := getattr(settings, name)) is not None}
    return replace(backbone, framing=framing.model_copy(update=changes)) if changes else backbone


@lru_cache(maxsize=4)
def _by_name(name: str, download: bool) -> Backbone:
    if name == EFFICIENTNET_LITE0:
        return efficientnet_lite0()
    if name == PIXELS:
        raise BadInput("Pixels have no backbone.", f"Name one: --representation {EFFICIENTNET_LITE0}")
    raise unknown_name("representation", name, NAMES)
