"""Whether the adversarial part works: codes that depend on the image, a G that makes classes, a D that learns."""

from __future__ import annotations

import math
from collections.abc import Mapping

from aral.learners.prediction import GENERATED_PER_CLASS

LATENT_BOUNDS = {"latent std": 0.1, "latent KL": 1.0}
"""Below one of these, in the units of the metrics, the latent codes have collapsed."""

RECOGNISED, SPREAD, D_LOSS = "generated recognised", "generated spread", "D against G"

SPREAD_BOUND = 0.1
"""Below it, as a share of the spread of labelled images, generated images of one class are alike."""

D_LOSS_BOUND = 0.05
"""Nats; below it D tells real from generated images without doubt, and G has hardly a gradient to learn from."""

_SURE = 3.0
"""Standard deviations above chance from which a share of recognised images counts as more than chance."""


def latent_warning(numbers: Mapping[str, float]) -> str:
    """What shows that the latent codes have collapsed; empty where nothing does.

    Args:
        numbers: the metrics of a round by name; one that is not finite is a sign, too.
    """
    signs = [
        f"{name} is {numbers[name]:.3g}, below {bound:g}{' nats' if name == 'latent KL' else ''}"
        for name, bound in LATENT_BOUNDS.items()
        if name in numbers and not numbers[name] >= bound
    ]
    return "; ".join(signs)


def generator_warning(numbers: Mapping[str, float]) -> str:
    """What shows that G has collapsed, makes no classes, or can learn no more from D; empty where nothing does.

    Args:
        numbers: the metrics of a round by name, with ``classes seen``; one that is not finite is a sign, too.
    """
    signs = []
    classes = int(numbers.get("classes seen", 0))
    if classes and RECOGNISED in numbers and not numbers[RECOGNISED] > chance_at_most(classes):
        signs.append(
            f"the class of generated images is recognised in {100 * numbers[RECOGNISED]:.0f} % "
            f"({100 / classes:.0f} % is chance)"
        )
    if SPREAD in numbers and not numbers[SPREAD] >= SPREAD_BOUND:
        signs.append(
            "generated images of a class are nearly all the same (their standard deviation is "
            f"{100 * numbers[SPREAD]:.1f} % of that of labelled images)"
        )
    if D_LOSS in numbers and not numbers[D_LOSS] >= D_LOSS_BOUND:
        signs.append(f"D is saturated (its loss against generated images is {numbers[D_LOSS]:.3f} nats)")
    return "; ".join(signs)


def chance_at_most(classes: int) -> float:
    """The share of recognised images that is not surely above chance."""
    chance = 1 / classes
    return chance + _SURE * math.sqrt(chance * (1 - chance) / (classes * GENERATED_PER_CLASS))
