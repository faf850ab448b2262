"""Query synthesis (GAAL; Zhu and Bento 2017): generated images on which the classifier is most uncertain.

The latents z of G(z, y) ascend the entropy of C(G(z, y)), y fixed. GAAL minimises the distance to the decision
boundary of a support vector machine; entropy is its counterpart for any number of classes. GAAL has the synthesised
images labelled. In a pool the acquisition ``gaal`` queries the nearest pool images instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot, softmax

from aral.learners.nets import Nets
from aral.networks.interface import Discriminator
from aral.randomness import Stream


@dataclass(frozen=True, eq=False)
class Synthesised:
    """Synthesised queries, the most uncertain first.

    Attributes:
        images: in the networks' range.
        latents: z of each.
        class_probs: y of each, one-hot.
        entropies: of the classifier's prediction, nats, descending; at most log K.
    """

    images: Float[Tensor, "Q C H W"]
    latents: Float[Tensor, "Q Z"]
    class_probs: Float[Tensor, "Q K"]
    entropies: Float[Tensor, " Q"]


def synthesise(
    nets: Nets, classifier: Discriminator, n: int, stream: Stream, steps: int = 20, rate: float = 0.1
) -> Synthesised:
    """Climb from random latents to uncertain images; no network is changed, and eval mode is the caller's.

    Args:
        nets: with a generator, class-conditional or not.
        classifier: whose uncertainty counts; its averaged copy, for instance.
        n: how many.
        stream: decides the latents to start from and the classes, which take turns.
        steps: of Adam on the latents. Each image keeps the best latents it passed, so none ends less
            uncertain than it began.
        rate: Adam's.
    """
    start = torch.randn(n, nets.latent_size, generator=stream.child("latents").torch()).to(nets.device)
    first = int(stream.child("class").numpy().integers(nets.class_count))
    classes = (torch.arange(n, device=nets.device) + first) % nets.class_count
    class_probs = one_hot(classes, nets.class_count).float()
    latents = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([latents], lr=rate)
    best, highest = start.clone(), torch.full((n,), -torch.inf, device=nets.device)
    for _ in range(steps + 1):
        with torch.enable_grad():
            logits = classifier(nets.generate(latents, class_probs))
            entropies = torch.special.entr(softmax(logits, dim=1)).sum(dim=1)
            (latents.grad,) = torch.autograd.grad(-entropies.sum(), latents)
        better = entropies.detach() > highest
        best[better], highest[better] = latents.detach()[better], entropies.detach()[better]
        optimiser.step()
    order = highest.argsort(descending=True, stable=True)
    best, class_probs = best[order], class_probs[order]
    with torch.no_grad():
        images = nets.generate(best, class_probs)
    return Synthesised(images, best, class_probs, highest[order])
