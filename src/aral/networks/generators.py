"""What the generators share: one body for plain stacks, one for residual nets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aral.networks.interface import Generator
from aral.networks.layers import ChannelsLast
from aral.networks.residual import ResidualUp


class PlainGenerator(Generator):
    """G as one stack of layers on [z, y].

    Args:
        body: N×(Z+K) -> N×C×H×W, before the last nonlinearity.
        output: maps to the family's pixel range; computed in float32.
    """

    def __init__(self, body: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.output = output

    def forward(
        self, latents: Float[Tensor, "N Z"], class_probs: Float[Tensor, "N K"]
    ) -> Float[Tensor, "N C H W"]:
        """Images in the family's pixel range, float32."""
        return self.output(self.body(torch.cat([latents, class_probs], dim=1)).float())


class ResidualGenerator(Generator):
    """G of residual blocks, each of which doubles the side, in [-1, 1].

    Args:
        start: N×(Z+D) -> N×C₀×H₀×W₀, fed with the latents beside the D numbers of the class embedding.
        blocks: called with the maps and the condition, one after the other.
        output: N×C₁×H×W -> N×C×H×W, before tanh.
        class_embedding: N×K -> N×D, linear, so that soft labels are mixtures.
        conditioned: whether the blocks' batch norms see [z, embedding] as well; else they see nothing.
    """

    def __init__(
        self,
        start: nn.Module,
        blocks: Sequence[nn.Module],
        output: nn.Module,
        class_embedding: nn.Module,
        conditioned: bool,
    ) -> None:
        super().__init__()
        self.start = start
        self.blocks = nn.ModuleList(blocks)
        self.output = output
        self.class_embedding = class_embedding
        self.conditioned = conditioned
        self.channels_last = ChannelsLast()

    def forward(
        self, latents: Float[Tensor, "N Z"], class_probs: Float[Tensor, "N K"]
    ) -> Float[Tensor, "N C H W"]:
        """Images in [-1, 1], float32."""
        code = torch.cat([latents, self.class_embedding(class_probs)], dim=1)
        condition = code if self.conditioned else code[:, :0]
        maps = self.channels_last(self.start(code))
        for block in self.blocks:
            maps = block(maps, condition) if isinstance(block, ResidualUp) else block(maps)
        return torch.tanh(self.output(maps).float())
