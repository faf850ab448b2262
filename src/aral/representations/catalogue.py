"""Backbones by name."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from aral.data.dataset import FeaturesOf
from aral.errors import BadInput
from aral.representations import gradients
from aral.representations.backbone import Backbone, Framing, feature_size
from aral.representations.efficientnet_lite import efficientnet_lite0
from aral.representations.hf_backbones import PREFIX as HF
from aral.representations.hf_backbones import hf_backbone
from aral.representations.onnx_backbones import PREFIX as ONNX
from aral.representations.onnx_backbones import onnx_backbone
from aral.representations.settings import AUTO, EMBEDDED, PIXELS, POOLED, RepresentationSettings
from aral.representations.timm_backbones import PREFIX as TIMM
from aral.representations.timm_backbones import timm_backbone

TORCHVISION = "torchvision:"

REPRESENTATIONS = (
    AUTO,
    PIXELS,
    EMBEDDED,
    POOLED,
    gradients.NAME,
    f"{TORCHVISION}NAME",
    f"{TIMM}NAME",
    f"{HF}NAME",
    f"{ONNX}FILE",
)
"""What can be asked for; NAME and FILE stand for others."""


def make_backbone(settings: RepresentationSettings, download: bool = False) -> Backbone:
    """The backbone of a representation, with its weights.

    Args:
        settings: its name and framing.
        download: whether weights that are not on this machine may be fetched.

    Raises:
        BadInput: the name is unknown, a package or the weights are missing (it says what to install or download), the
            weights are damaged, or the network does not read images of this side.
        RunFailed: a download failed.
    """
    backbone = _by_name(settings.backbone, download)
    changes = {name: value for name in ("side", "fit") if (value := getattr(settings, name)) is not None}
    return _framed(backbone, backbone.framing.model_copy(update=changes))


def backbone_of(features: FeaturesOf, download: bool = False) -> Backbone:
    """The backbone that features were made with, framed as it was then.

    Args:
        features: as they were recorded.
        download: whether weights that are not on this machine may be fetched.

    Raises:
        BadInput: a package or the weights are missing (it says what to install or download), or are others than those
            that were recorded.
        RunFailed: a download failed.
    """
    name = features.backbone
    file = Path(name.removeprefix(ONNX)).expanduser()
    if name.startswith(ONNX) and not file.is_file():
        raise BadInput(
            f"The backbone of this classifier is missing: there is no file {file}.",
            f"Put it there; its SHA-256 is {features.digest}.",
        )
    backbone = _by_name(name, download)
    if backbone.digest != features.digest:
        raise BadInput(
            f"The weights of '{name}' are others than those that the classifier was trained with: SHA-256 "
            f"{backbone.digest}, not {features.digest}.",
            f"Install the former ones ({features.source}), or train again.",
        )
    return _framed(backbone, Framing.model_validate_json(features.framing))


def _framed(backbone: Backbone, framing: Framing) -> Backbone:
    """A backbone with another framing."""
    if framing == backbone.framing:
        return backbone
    size = backbone.feature_size
    if framing.side != backbone.framing.side:
        size = _size_at(backbone, framing.side)
    return replace(backbone, framing=framing, feature_size=size)


@lru_cache(maxsize=2)
def _by_name(name: str, download: bool) -> Backbone:
    kind, colon, rest = name.partition(":")
    if name in (EMBEDDED, POOLED):
        return efficientnet_lite0(spatial=name == EMBEDDED)
    if name == gradients.NAME:
        return gradients.gradient_backbone()
    if colon and rest:
        if kind + colon == TORCHVISION:
            # Loads torchvision and much of PyTorch's compiler: a second, and 150 MB.
            from aral.representations.torchvision_backbones import torchvision_backbone

            return torchvision_backbone(rest, download)
        if kind + colon == TIMM:
            return timm_backbone(rest, download)
        if kind + colon == HF:
            return hf_backbone(rest, download)
        if kind + colon == ONNX:
            return onnx_backbone(rest)
    if name == AUTO:
        raise BadInput(
            "The representation 'auto' has not been chosen yet.",
            f"Name one, such as {EMBEDDED}; in Python, aral.benchmarking.choose_representation chooses.",
        )
    if name == PIXELS:
        raise BadInput("Pixels have no backbone.", f"Name one: --representation {EMBEDDED}")
    raise BadInput(f"Unknown representation '{name}'.", f"Valid: {', '.join(REPRESENTATIONS)}.")


def _size_at(backbone: Backbone, side: int) -> int:
    """F at another side; some networks read one side only."""
    try:
        return feature_size(backbone.name, backbone.trunk, side)
    except BadInput:
        raise
    except Exception as error:  # whatever the network raises
        raise BadInput(
            f"'{backbone.name}' does not read images of {side} pixels: {error}",
            f"Leave out the side; its own is {backbone.framing.side}.",
        ) from error
