"""What the encoders share: bounded Gaussian outputs, classes as constant channels, strided convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aral.networks.interface import Encoder, ImageShape
from aral.networks.layers import ChannelsLast, append_class_maps

LOG_VARIANCE_BOUND = 10.0
"""|log-variance| stays below this: standard deviations lie between e⁻⁵ ≈ 0.007 and e⁵ ≈ 148."""


def bounded_gaussian(outputs: Float[Tensor, "N Z2"]) -> tuple[Float[Tensor, "N Z"], Float[Tensor, "N Z"]]:
    """Mean and log-variance of q(z|x, y) from the 2Z raw outputs of an encoder, in float32.

    The log-variance is B·tanh(raw/B) with B = 10: nearly the raw value where |raw| is a few units (at 1 it
    differs by 0.003), never beyond ±B, so that exp(log-variance) in the divergence cannot overflow after
    one bad step. The mean is left as it is.
    """
    mean, raw = outputs.float().chunk(2, dim=1)
    return mean, LOG_VARIANCE_BOUND * torch.tanh(raw / LOG_VARIANCE_BOUND)


class ClassMapEncoder(Encoder):
    """E of convolutions: class probabilities enter as K constant channels beside the image.

    Args:
        body: N×(C+K)×H×W -> N×2Z, ends in a linear layer.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(
        self, images: Float[Tensor, "N C H W"], class_probs: Float[Tensor, "N K"]
    ) -> tuple[Float[Tensor, "N Z"], Float[Tensor, "N Z"]]:
        """Mean and log-variance of q(z|x, y), float32; the log-variance lies within ±10."""
        return bounded_gaussian(self.body(append_class_maps(images, class_probs)))


def strided_body(
    image_shape: ImageShape, class_count: int, latent_size: int, widths: Sequence[int], kernel_size: int
) -> nn.Sequential:
    """Convolutions of stride 2 with batch norm and ReLU, then one linear layer to 2Z numbers.

    Args:
        image_shape: (C, H, W).
        class_count: K, channels added to C.
        latent_size: Z.
        widths: output channels of each convolution.
        kernel_size: 5 halves a side rounding up, 4 rounding down.
    """
    channels, height, width = image_shape
    channels += class_count
    padding = (kernel_size - 1) // 2
    layers: list[nn.Module] = [ChannelsLast()]
    for out_channels in widths:
        # No bias: batch norm would subtract it again.
        convolution = nn.Conv2d(channels, out_channels, kernel_size, stride=2, padding=padding, bias=False)
        layers += [convolution, nn.BatchNorm2d(out_channels), nn.ReLU()]
        channels = out_channels
        height, width = ((side + 2 * padding - kernel_size) // 2 + 1 for side in (height, width))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, 2 * latent_size))
