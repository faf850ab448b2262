"""A backbone: a frozen network from whole images to features, and how an image is brought into the square it reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from pydantic import Field
from torch import Tensor, nn

from aral.errors import BadInput
from aral.representations.settings import EMBEDDED, Fit
from aral.representations.text import TextTower
from aral.settings import Settings

BATCH, BATCH_ON_GPU = 2, 64
"""Images a forward pass: on a processor two are as fast as more, with a third of the memory."""

CPU = torch.device("cpu")

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Framing(Settings):
    """How an upright image of any size becomes side×side pixels, and how pixels become numbers."""

    side: int = Field(224, ge=1)  # height and width of what the backbone reads
    fit: Fit = Fit.PAD
    crop_share: float = Field(1.0, gt=0, le=1)  # of the shorter side, the side of the square of "crop"
    fill: int = Field(127, ge=0, le=255)  # value of the pixels beside a padded image
    resampling: Literal["bilinear", "bicubic", "lanczos"] = "bicubic"
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)  # of each channel, subtracted; pixels are 0..255
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)  # of each channel, divides the difference

    @property
    def digest(self) -> str:
        """SHA-256 of all settings: features of two framings are not comparable."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def enough(self) -> tuple[int, int]:
        """Sizes of the longer and the shorter side above which a JPEG may be decoded at a part of its size.

        Twice what is needed, so that the last reduction is always a filter over several pixels.
        """
        return (2 * self.side, 1) if self.fit is Fit.PAD else (2 * self.side, 2 * self.side)

    def frame(self, image: Image.Image) -> UInt8[np.ndarray, "3 S S"]:
        """The square that the backbone reads, 0..255, channels first.

        Args:
            image: upright, opaque, eight bits a channel; grey becomes three equal channels.
        """
        side, filter_ = self.side, _RESAMPLING[self.resampling]
        image = image.convert("RGB")
        width, height = image.size
        if self.fit is Fit.PAD:
            scale = side / max(width, height)
            small = (max(1, round(width * scale)), max(1, round(height * scale)))
            if image.size != small:
                image = image.resize(small, filter_)
            if small != (side, side):
                whole = Image.new("RGB", (side, side), (self.fill,) * 3)
                whole.paste(image, ((side - small[0]) // 2, (side - small[1]) // 2))
                image = whole
        elif self.fit is Fit.CROP:
            cut = min(width, height) * self.crop_share
            left, top = (width - cut) / 2, (height - cut) / 2
            image = image.resize((side, side), filter_, box=(left, top, left + cut, top + cut))
        else:
            image = image.resize((side, side), filter_)
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


class FromPixels(nn.Module):
    """Framed pixels to features in one graph: normalisation, then the trunk.

    Args:
        trunk: N×3×S×S normalised images → N×F.
        framing: gives mean and standard deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trunk: nn.Module, framing: Framing) -> None:
        super().__init__()
        self.trunk = trunk
        self.register_buffer("mean", torch.tensor(framing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(framing.std).view(1, 3, 1, 1))

    def forward(self, images: UInt8[Tensor, "N 3 S S"]) -> Float[Tensor, "N F"]:
        """Features of framed images, 0..255."""
        return self.trunk((images.float() - self.mean) / self.std)


def feature_size(name: str, trunk: nn.Module, side: int) -> int:
    """F, from the features of one grey image.

    Args:
        name: of the backbone, for the error.
        trunk: normalised images → N×F.
        side: of the image.

    Raises:
        BadInput: the network does not give one vector an image.
    """
    with torch.inference_mode():
        found = trunk.eval()(torch.zeros(1, 3, side, side))
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != 1:
        given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise BadInput(f"'{name}' does not give one vector an image, but {given}.", "Choose another model.")
    return found.shape[1]


class FeaturePart(NamedTuple):
    """Features that belong together, such as those of one layer: they are normalised and reduced apart from others.

    Attributes:
        size: how many.
        weight: of their components beside those of the other parts.
    """

    size: int
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network from images to features.

    Attributes:
        name: as given to ``--representation``, such as ``"efficientnet-lite0-spatial"``.
        licence: of the weights, an SPDX name where there is one.
        source: where the weights come from, to show.
        digest: SHA-256 of the file of weights, 64 hexadecimal digits.
        feature_size: F.
        framing: how images are brought into what it reads.
        trunk: N×3×S×S normalised images → N×F; in evaluation mode, without gradients.
        layers: parts of the features, F in all, where they come of several layers; empty otherwise.
        text: embeds text into the space of the features; None where the model has no text tower or no tokenizer.
        device: where features are computed.
    """

    name: str
    licence: str
    source: str
    digest: str
    feature_size: int
    framing: Framing
    trunk: nn.Module
    layers: tuple[FeaturePart, ...] = ()
    text: TextTower | None = None
    device: torch.device = CPU

    def __post_init__(self) -> None:
        self.trunk.eval().requires_grad_(False).to(memory_format=torch.channels_last).to(self.device)

    def on(self, device: torch.device | str) -> Backbone:
        """The same backbone, whose features are computed on a device; the trunk is moved, not copied.

        On a GPU the numbers differ in their last digits, and are interchangeable with those of a processor.
        """
        return replace(self, device=torch.device(device))

    @property
    def batch(self) -> int:
        """Images that are best computed at once."""
        return BATCH if self.device.type == "cpu" else BATCH_ON_GPU

    @property
    def parts(self) -> tuple[FeaturePart, ...]:
        """The parts of its features: one, if they are not of several layers."""
        return self.layers or (FeaturePart(self.feature_size),)

    @property
    def key(self) -> str:
        """What features are comparable by: 16 hexadecimal digits of the weights, the framing and the layers."""
        sizes = "".join(f",{part.size}" for part in self.layers)
        return hashlib.sha256((self.digest + self.framing.digest + sizes).encode()).hexdigest()[:16]

    def module(self) -> FromPixels:
        """Framed pixels to features as one module, for export."""
        return FromPixels(self.trunk, self.framing).eval()

    def features(self, images: UInt8[Tensor, "N 3 S S"]) -> Float32[Tensor, "N F"]:
        """Features of framed images, some at a time; on the processor again, wherever they were computed.

        The features of an image do not depend on the others of its batch. No gradients.

        Args:
            images: from :meth:`Framing.frame`.

        Raises:
            BadInput: a feature is NaN or infinite.
        """
        module, size = self.module().to(self.device), self.batch
        with torch.inference_mode():
            found = [
                module(
                    images[start : start + size].to(self.device).contiguous(memory_format=torch.channels_last)
                )
                .float()
                .cpu()
                for start in range(0, len(images), size)
            ]
        features = torch.cat(found) if found else torch.empty(0, self.feature_size)
        if not bool(features.isfinite().all()):
            raise BadInput(
                f"Backbone '{self.name}' gives features that are NaN or infinite.",
                "Its weights do not fit this version of the network. Choose another: --representation "
                f"{EMBEDDED}",
            )
        # A clone is a normal tensor: one made in inference mode could not be trained on.
        return features.clone()
