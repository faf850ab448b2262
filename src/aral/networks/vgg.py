"""VGG-16 with batch norm as the classifier (Simonyan and Zisserman 2015), the paper's for ImageNet.

VAAL and the paper train it apart from E, G and S, so there is only a discriminator here, not a family of
four networks. It starts from random weights.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from aral.networks.interface import ImageShape, refuse_unless
from aral.networks.layers import BatchNorm, Dropout, DropoutRate
from aral.networks.parts import RealnessHead, TrunkDiscriminator, class_head

_SMALLEST_SIDE = 32
_CONFIGURATION = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512, None)
"""Column D of the source's table 1: channels of the convolutions; None is a halving."""
_STANDARD_WIDTH = 64


class Resize(nn.Module):
    """Images of one side, by bilinear interpolation with antialiasing.

    Args:
        side: height and width of the result, pixels.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C S S"]:
        """N×C×side×side, in the range of the input."""
        return F.interpolate(images, size=(self.side, self.side), mode="bilinear", antialias=True)


class VggFamily(BaseModel):
    """The sizes of a VGG-16 with batch norm; at the defaults, layer for layer torchvision's ``vgg16_bn``.

    Thirteen 3×3 convolutions with five halvings, average pooling to ``pooled_side``², and two hidden linear
    layers with dropout, the second of which gives the features. For images with sides from 32 up; fully
    convolutional up to the pooling, so any side will do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Literal["vgg16"] = "vgg16"
    """Name of the network."""
    width: PositiveInt = 64
    """Channels of the first maps; the last ones have 8 times as many."""
    pooled_side: PositiveInt = 7
    """Side of the maps after pooling; smaller maps are repeated up to it."""
    hidden_size: PositiveInt = 4096
    """Units of both hidden linear layers, and count of features."""
    dropout: DropoutRate = 0.5
    """Share of the hidden values dropped in training and in Monte-Carlo passes."""
    input_side: int | None = Field(None, ge=_SMALLEST_SIDE)
    """Images are resized to this side first (paper: 256 to 224); None: taken as they are."""

    def discriminator(
        self, image_shape: ImageShape, class_count: int, latent_size: int
    ) -> TrunkDiscriminator:
        """A new D̃ with C; c_rf is there as on every trunk, and unused where C is trained apart."""
        channels, height, width = image_shape
        refuse_unless(
            self.input_side is not None or min(height, width) >= _SMALLEST_SIDE,
            self.scale,
            image_shape,
            f"images with sides from {_SMALLEST_SIDE} pixels up",
            "Set model.classifier.input_side = 32 to enlarge them, or leave model.classifier out.",
        )
        layers: list[nn.Module] = [] if self.input_side is None else [Resize(self.input_side)]
        for entry in _CONFIGURATION:
            if entry is None:
                layers.append(nn.MaxPool2d(2))
                continue
            out_channels = max(1, entry * self.width // _STANDARD_WIDTH)
            layers += [
                nn.Conv2d(channels, out_channels, 3, padding=1),
                BatchNorm(out_channels),
                nn.ReLU(),
            ]
            channels = out_channels
        layers += [nn.AdaptiveAvgPool2d(self.pooled_side), nn.Flatten()]
        size = channels * self.pooled_side**2
        for _ in range(2):
            layers += [nn.Linear(size, self.hidden_size), nn.ReLU(), Dropout(self.dropout)]
            size = self.hidden_size
        trunk, class_layer = nn.Sequential(*layers), class_head(size, class_count)
        for part in (trunk, class_layer):
            part.apply(_initialise)
        return TrunkDiscriminator(trunk, size, class_layer, RealnessHead(size, latent_size, class_count))


def _initialise(layer: nn.Module) -> None:
    """The weights torchvision starts from: He et al. by fan-out, N(0, 0.01²) for linear layers, no biases."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.01)
    if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
