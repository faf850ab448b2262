"""Models of PyTorch Image Models as backbones: ``timm:NAME``, with weights from the hub's local cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from aral.errors import BadInput
from aral.representations.backbone import Backbone, Framing, feature_size
from aral.representations.settings import Fit
from aral.representations.weights import check_finite, file_digest, from_hub, package

PREFIX = "timm:"
_FILE = "model.safetensors"


def timm_backbone(model: str, download: bool) -> Backbone:
    """A model of timm without its classifier, pooled as timm does.

    Args:
        model: name of a model of timm, such as ``"vit_small_patch14_dinov2.lvd142m"``.
        download: whether missing weights may be fetched.

    Raises:
        BadInput: timm is not installed, the name is unknown, or the weights are missing or damaged.
        RunFailed: the download failed.
    """
    name = PREFIX + model
    timm = package("timm", name)
    config: Any = timm.get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        raise BadInput(
            f"timm has no model '{model}' with weights on its hub.", "Names: timm.list_pretrained()"
        )
    file = from_hub(name, config.hf_hub_id, [_FILE], download) / _FILE
    trunk = _built(timm, name, model, file)
    check_finite(trunk.state_dict(), str(file), "Remove the file, then add --download.")
    side = config.input_size[-1]
    resampling: Literal["bilinear", "bicubic"] = (
        "bilinear" if config.interpolation == "bilinear" else "bicubic"
    )
    framing = Framing(
        side=side,
        fit=Fit.PAD,
        crop_share=config.crop_pct,
        fill=round(255 * sum(config.mean) / 3),
        resampling=resampling,
        mean=tuple(255 * value for value in config.mean),
        std=tuple(255 * value for value in config.std),
    )
    return Backbone(
        name,
        config.license or f"see https://huggingface.co/{config.hf_hub_id}",
        f"https://huggingface.co/{config.hf_hub_id}",
        file_digest(file),
        feature_size(name, trunk, side),
        framing,
        trunk,
    )


def _built(timm: Any, name: str, model: str, file: Path) -> Any:
    try:
        # timm converts the names of weights itself where a file has older ones.
        return timm.create_model(
            model, pretrained=True, num_classes=0, pretrained_cfg_overlay={"file": str(file)}
        )
    except Exception as error:  # of safetensors, of PyTorch, or of timm
        raise BadInput(
            f"The weights of '{name}' in {file} do not fit: {error}", "Update timm, or the file."
        ) from error
