"""Classifiers of torchvision as backbones: ``torchvision:NAME``, with the default weights of each."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torchvision import models
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.transforms import InterpolationMode

from aral.errors import BadInput, RunFailed, unknown_name
from aral.representations.backbone import Backbone, Framing, feature_size
from aral.representations.settings import Fit
from aral.representations.weights import file_digest, missing_weights, read_checkpoint

PREFIX = "torchvision:"
_HEADS = ("fc", "classifier", "head", "heads")


def torchvision_backbone(model: str, download: bool) -> Backbone:
    """A classifier without its last layer. The weights are those in torch.hub's folder.

    Args:
        model: name of a classifier of torchvision, such as ``"resnet50"``.
        download: whether missing weights may be fetched.

    Raises:
        BadInput: the name is unknown, or the weights are missing, damaged or do not fit.
        RunFailed: the download failed.
    """
    name = PREFIX + model
    known = list_models(module=models)
    if model not in known:
        raise unknown_name("classifier of torchvision", model, known)
    weights = get_model_weights(model).DEFAULT
    recipe = weights.transforms()
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not file.is_file():
        _fetch(name, weights.url, file, download)
    # The name of the file ends in the first digits of its SHA-256.
    state = read_checkpoint(file, file.stem.rpartition("-")[2], f"Remove {file}, then add --download")
    trunk = get_model(model, weights=None)
    try:
        trunk.load_state_dict(state)
    except RuntimeError as error:
        raise BadInput(
            f"The weights of '{name}' do not fit this version of torchvision: {error}",
            "Update torchvision.",
        ) from error
    _remove_last_layer(name, trunk)
    side, longer = recipe.crop_size[0], recipe.resize_size[0]
    framing = Framing(
        side=side,
        fit=Fit.PAD,
        crop_share=min(1.0, side / longer),
        fill=round(255 * sum(recipe.mean) / 3),
        resampling="bicubic" if recipe.interpolation is InterpolationMode.BICUBIC else "bilinear",
        mean=tuple(255 * value for value in recipe.mean),
        std=tuple(255 * value for value in recipe.std),
    )
    licence = "CC-BY-NC-4.0" if "SWAG" in weights.name else "BSD-3-Clause"
    return Backbone(
        name, licence, weights.url, file_digest(file), feature_size(name, trunk, side), framing, trunk
    )


def _fetch(name: str, url: str, file: Path, download: bool) -> None:
    if not download:
        raise missing_weights(name, f"put {url} into {file.parent}")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(file), progress=False)
    except OSError as error:
        raise RunFailed(
            f"The weights of '{name}' could not be downloaded: {error}",
            f"Try again, or put {url} into {file.parent}.",
        ) from error


def _remove_last_layer(name: str, trunk: nn.Module) -> None:
    """Replace the last linear layer of the head by the identity."""
    for head in _HEADS:
        module = getattr(trunk, head, None)
        if isinstance(module, nn.Linear):
            setattr(trunk, head, nn.Identity())
            return
        layers = [] if module is None else list(module.named_children())
        if layers and isinstance(layers[-1][1], nn.Linear):
            setattr(module, layers[-1][0], nn.Identity())
            return
    raise BadInput(f"'{name}' does not end in a linear layer.", "Choose another: torchvision:resnet50")
