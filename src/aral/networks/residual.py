"""Residual blocks of two 3×3 convolutions, conditional batch norm, and self-attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from aral.networks.layers import BatchNorm, Dropout, linear_map


class ResidualDown(nn.Module):
    """A block of E or D̃: shortcut + [activate, convolve, activate, drop out, convolve], then halve.

    Args:
        in_channels: channels of the input maps.
        out_channels: channels of the output maps.
        activation: a module without weights, used twice.
        batch_norm: normalise before each activation; the convolutions then have no biases, which the next
            batch norm would subtract again.
        dropout: rate between the two convolutions, so that the shortcut stays whole.
        halve: average 2×2 positions at the end.
        activate_first: False for a block that reads pixels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        activation: nn.Module,
        batch_norm: bool = False,
        dropout: float = 0.0,
        halve: bool = True,
        activate_first: bool = True,
    ) -> None:
        super().__init__()
        bias = not batch_norm
        before: list[nn.Module] = [BatchNorm(in_channels)] if batch_norm else []
        before += [activation] if activate_first else []
        between: list[nn.Module] = [BatchNorm(out_channels)] if batch_norm else []
        self.branch = nn.Sequential(
            *before,
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias),
            *between,
            activation,
            Dropout(dropout),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias),
        )
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, bias=bias)
        self.pool = nn.AvgPool2d(2) if halve else nn.Identity()

    def forward(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D h w"]:
        """Maps of half the side, or of the same side without ``halve``."""
        # Averaging commutes with the 1×1 convolution of the shortcut and costs it a quarter of the work.
        return self.pool(self.branch(maps)) + self.shortcut(self.pool(maps))


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain and bias are affine functions of a condition: γ + Γc and β + Bc.

    With the condition linear in class probabilities, a soft label gets the same mixture of the classes'
    gains and biases. For a condition of size 0 this is plain batch norm.

    Args:
        channels: C.
        condition_size: D, may be 0.
    """

    def __init__(self, channels: int, condition_size: int) -> None:
        super().__init__()
        self.plain = BatchNorm(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.from_condition = linear_map(condition_size, 2 * channels, std=0.02)

    def forward(
        self, maps: Float[Tensor, "N C H W"], condition: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N C H W"]:
        """The maps, normalised over the batch, with each image's own gain and bias."""
        gain, bias = self.from_condition(condition).chunk(2, dim=1)
        return self.plain(maps) * (self.gain + gain)[:, :, None, None] + (self.bias + bias)[:, :, None, None]


class ResidualUp(nn.Module):
    """A block of G: doubles the side, shortcut + [norm, ReLU, convolve] twice.

    No convolution has a bias: a batch norm follows each of them, the last one after the last block.

    Args:
        in_channels: channels of the input maps.
        out_channels: channels of the output maps.
        condition_size: length of the condition that governs both batch norms, may be 0.
    """

    def __init__(self, in_channels: int, out_channels: int, condition_size: int) -> None:
        super().__init__()
        self.first_norm = ConditionalBatchNorm(in_channels, condition_size)
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.second_norm = ConditionalBatchNorm(out_channels, condition_size)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(
        self, maps: Float[Tensor, "N C H W"], condition: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N E h w"]:
        """Maps of twice the side."""
        branch = self.first(self.enlarge(F.relu(self.first_norm(maps, condition))))
        branch = self.second(F.relu(self.second_norm(branch, condition)))
        return branch + self.enlarge(self.shortcut(maps))


class SelfAttention(nn.Module):
    """Self-attention over positions (Zhang et al. 2019, SAGAN), added to its input.

    Keys and values are max-pooled by 2. The share of the attention starts at 0, so at first the block is
    the identity and only that share has a gradient.

    Args:
        channels: C; queries and keys have C/8 channels, values C/2 (at least 1).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, values = max(1, channels // 8), max(1, channels // 2)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, values, 1, bias=False)
        self.output = nn.Conv2d(values, channels, 1, bias=False)
        self.share = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """The maps plus what each position gathers from all the others."""
        count, _, height, width = maps.shape
        query = self.query(maps).flatten(2).transpose(1, 2)
        key = F.max_pool2d(self.key(maps), 2).flatten(2).transpose(1, 2)
        value = F.max_pool2d(self.value(maps), 2).flatten(2).transpose(1, 2)
        # SAGAN does not divide the products by the root of their length.
        gathered = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        gathered = gathered.transpose(1, 2).reshape(count, -1, height, width)
        return maps + self.share * self.output(gathered)
