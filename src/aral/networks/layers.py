"""Layers that several networks use, draws of stochastic ones, initialisation, and the two weight parametrisations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Annotated, TypeAlias, TypeVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from aral.parallel import batch_moments, current_group, current_part
from aral.randomness import Stream

_Net = TypeVar("_Net", bound=nn.Module)

DropoutRate: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
"""Share of values set to 0 in training."""


class GaussianNoise(nn.Module):
    """Adds N(0, std²) to every entry in training mode; the identity in evaluation mode.

    Args:
        std: standard deviation in the unit of the input, at least 0.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, inputs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The inputs, noisy in training mode."""
        if not self.training or self.std == 0:
            return inputs
        # In float32, which is drawn faster than bfloat16 on a processor.
        noise = current_part().drawn(lambda shape: torch.randn(shape, device=inputs.device), inputs.shape)
        # In rows one after another, so that the sum has the memory format that it has without parts.
        return torch.add(inputs, noise.contiguous().to(inputs.dtype), alpha=self.std)

    def extra_repr(self) -> str:
        """The standard deviation, for ``print(network)``."""
        return f"std={self.std}"


class Dropout(nn.Dropout):
    """PyTorch's; of a part of a batch, the mask is that part of the mask of the whole batch."""

    def forward(self, inputs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The inputs, a share of them 0 and the others larger in training mode."""
        part = current_part()
        if not self.training or self.p == 0 or part.count == 1:
            return super().forward(inputs)

        # Numbers are drawn in the order of memory, as PyTorch draws its mask.
        maps_last = inputs.ndim == 4 and not inputs.is_contiguous()
        layout = torch.channels_last if maps_last else torch.contiguous_format

        def mask(shape: tuple[int, ...]) -> Tensor:
            empty = torch.empty(shape, dtype=inputs.dtype, device=inputs.device, memory_format=layout)
            return empty.bernoulli_(1 - self.p)

        kept = part.drawn(mask, inputs.shape).contiguous(memory_format=layout)
        return inputs * kept.div_(1 - self.p)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm of rows or of maps; the statistics of a training step are those of all processes' parts.

    The arguments are those of :class:`torch.nn.BatchNorm2d`. With one process it is that layer.
    """

    def forward(self, inputs: Float[Tensor, "N C *positions"]) -> Float[Tensor, "N C *positions"]:
        """The inputs, normalised by channel."""
        if not self.training or current_group().size == 1:
            return super().forward(inputs)
        values = inputs.float()
        mean, variance, count = batch_moments(values)
        with torch.no_grad():
            assert self.momentum is not None
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        scale, shape = torch.rsqrt(variance + self.eps), (1, -1, *[1] * (inputs.ndim - 2))
        scale = scale if self.weight is None else scale * self.weight
        normalised = (values - mean.view(shape)) * scale.view(shape)
        normalised = normalised if self.bias is None else normalised + self.bias.view(shape)
        return normalised.to(inputs.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"batch norm needs rows of channels, not a tensor of shape {tuple(input.shape)}")


DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
CHANNEL_DROPOUT = DROPOUT[1:]
"""Layers that set whole channels to 0."""


def stochastic_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The dropout and noise layers that change their input in training, by their names in the network.

    A layer with rate or standard deviation 0 does not count.
    """
    return {
        name: layer
        for name, layer in network.named_modules()
        if (isinstance(layer, DROPOUT) and layer.p > 0)
        or (isinstance(layer, GaussianNoise) and layer.std > 0)
    }


@contextmanager
def one_draw(network: nn.Module, stream: Stream) -> Iterator[None]:
    """Within the block a network in evaluation mode is one random draw of it: a Monte-Carlo pass.

    Every stochastic layer has one dropout mask, or one noise, for all images (Gal and Ghahramani 2016): a function of
    the stream and of the layer's name, of the shape of one image's activation, or of its channels where the layer
    drops channels. Dropping inputs of a layer for all images drops columns of its weights; adding the same noise
    ε to all inputs changes its bias, since W(x + ε) + b = Wx + (b + Wε). Batch norm keeps its running statistics.

    Args:
        network: in evaluation mode; used as often as wanted within the block.
        stream: the pass's.
    """
    with ExitStack() as hooks:
        for name, layer in stochastic_layers(network).items():
            hooks.enter_context(layer.register_forward_hook(_drawn(layer, stream.child(name))))
        yield


def _drawn(layer: nn.Module, stream: Stream) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    """What a stochastic layer gives instead of its input."""

    def drawn(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        images, generator = inputs[0], stream.torch()
        shape = images.shape[1:]
        if isinstance(layer, GaussianNoise):
            return images + _in_layout_of(images, layer.std * torch.randn(shape, generator=generator))
        assert isinstance(layer, DROPOUT)
        positions = [1] * (len(shape) - 1) if isinstance(layer, CHANNEL_DROPOUT) else shape[1:]
        kept = torch.rand(shape[0], *positions, generator=generator) >= layer.p
        return images * _in_layout_of(images, (kept / (1 - layer.p)).expand(shape))

    return drawn


def _in_layout_of(
    images: Float[Tensor, N * image], draw: Float[Tensor, "*image"]
) -> Float[Tensor, 1 * image]:
    """A draw with the type, device and memory format of the images, which the result then keeps."""
    return torch.empty_like(images[:1]).copy_(draw[None])


class ChannelsLast(nn.Module):
    """Converts maps to the channels-last memory format, in which convolutions are fastest.

    Weights keep the default format, because safetensors refuses other ones.
    """

    def forward(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """The same maps in channels-last format."""
        if maps.shape[1] > 1:
            return maps.contiguous(memory_format=torch.channels_last)
        # Maps of one channel are in both formats. Convolutions choose by the stride of the channel dimension, which
        # must be that of channels-last, or their result has the other format and is copied.
        return maps.contiguous().squeeze(1).unsqueeze(-1).permute(0, 3, 1, 2)


def fixed_statistics(network: nn.Module) -> AbstractContextManager[None]:
    """Batch norms use their running statistics and do not update them; other layers are not changed.

    Gradient still flows through.
    """
    return _norms_in_mode(network, training=False)


def own_statistics(network: nn.Module) -> AbstractContextManager[None]:
    """Batch norms use the statistics of the batch and update the running ones; other layers are not changed."""
    return _norms_in_mode(network, training=True)


@contextmanager
def _norms_in_mode(network: nn.Module, training: bool) -> Iterator[None]:
    norms = [
        layer
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.training is not training
    ]
    for layer in norms:
        layer.train(training)
    try:
        yield
    finally:
        for layer in norms:
            layer.train(not training)


def statistics_of(network: nn.Module) -> frozenset[str]:
    """Names of the buffers of all batch norms, as in the state dict of the network."""
    return frozenset(
        f"{place}.{name}".removeprefix(".")
        for place, layer in network.named_modules()
        if isinstance(layer, _BatchNorm)
        for name, _ in layer.named_buffers()
    )


class GlobalMean(nn.Module):
    """The mean of each map over its positions, in float32."""

    def forward(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C"]:
        """One number a map."""
        return maps.float().mean((2, 3))


class GlobalSum(nn.Module):
    """The sum of each map over its positions, in float32 (BigGAN pools this way)."""

    def forward(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C"]:
        """One number a map."""
        return maps.float().sum((2, 3))


class Zeros(nn.Module):
    """The linear map of an input without columns: N rows of zeros.

    Args:
        size: length of one output row; 0 gives the logits of a classifier without classes.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, inputs: Float[Tensor, "N _"]) -> Float[Tensor, "N size"]:
        """Zeros, one row an input row."""
        return inputs.new_zeros((len(inputs), self.size))


def linear_map(in_size: int, out_size: int, std: float) -> nn.Module:
    """A linear map without bias that also exists for ``in_size`` 0 (then it is zero).

    Args:
        in_size: length of an input row, may be 0.
        out_size: length of an output row.
        std: the weights start as N(0, std²).
    """
    if in_size == 0:
        return Zeros(out_size)
    layer = nn.Linear(in_size, out_size, bias=False)
    nn.init.normal_(layer.weight, std=std)
    return layer


def append_class_maps(
    images: Float[Tensor, "N C H W"], class_probs: Float[Tensor, "N K"]
) -> Float[Tensor, "N D H W"]:
    """Images with K more channels (D = C + K), each constant over the image and equal to one probability."""
    height, width = images.shape[2:]
    class_maps = class_probs[:, :, None, None].expand(-1, -1, height, width)
    return torch.cat([images, class_maps], dim=1)


def he_initialised(network: _Net, negative_slope: float) -> _Net:
    """Gives every linear and convolutional layer He et al.'s (2015) normal weights and zero biases.

    Nets without batch norm need it: PyTorch's default weights shrink a signal about 2.5 times in each layer.

    Args:
        network: changed in place and returned.
        negative_slope: of the leaky ReLU that follows each layer; 0 for ReLU.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=negative_slope, nonlinearity="leaky_relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def weight_normalised(network: _Net) -> _Net:
    """Puts weight norm (Salimans and Kingma 2016), w = g·v/‖v‖ a unit, on every linear and convolution.

    The network computes the same function as before; it is changed in place and returned.
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            weight_norm(layer)
    return network


def weights_computed_once() -> AbstractContextManager[None]:
    """Within the block normalised weights are computed in the first pass, and kept for the others.

    No network may move in the block. Where the first pass is one without gradient, the weights are constants for the
    others. Spectral norm makes one power iteration for the block.
    """
    return parametrize.cached()


def spectrally_normalised(network: _Net) -> _Net:
    """Divides the weights of every linear and convolution by their largest singular value (Miyato 2018).

    The singular value is tracked by one power iteration a forward pass in training mode, and left alone in
    evaluation mode. The network is changed in place and returned.
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            spectral_norm(layer)
    return network
