"""Whether the latents still say something of the images, in words.

An encoder whose posterior is close to the prior for every image has collapsed: the sampler network sees the
same noise for labelled and unlabelled images, and a query by its scores is close to a random one.
"""

from __future__ import annotations

from dataclasses import dataclass

from aral.reports.record import RoundRecord


@dataclass(frozen=True)
class LatentFigure:
    """A figure of the latents that is recorded each round.

    Attributes:
        name: its name among the numbers of a round.
        unit: its unit; empty for a number without one.
        bound: below it the latents have collapsed; None if it has no such bound.
        meaning: what it says, for people.
    """

    name: str
    unit: str
    bound: float | None
    meaning: str


LATENT_FIGURES = (
    LatentFigure("latent std", "", 0.1, "how far the latent means of different images lie apart"),
    LatentFigure("latent KL", "nats", 1.0, "how much the encoder says of an image"),
    LatentFigure(
        "sampler AUC", "", None,
        "how well the sampler tells unlabelled images from labelled ones: 0.5 is guessing, 1 is always right",
    ),
)  # fmt: skip


def collapse_warning(record: RoundRecord) -> str:
    """A warning in plain words if a figure of the latents is below its bound or not finite; else empty."""
    signs = []
    for figure in LATENT_FIGURES:
        value = record.numbers.get(figure.name)
        # `not >=` so that a NaN warns as well.
        if value is not None and figure.bound is not None and not value >= figure.bound:
            signs.append(f"{figure.name} is {value:.3g}, below {figure.bound:g} {figure.unit}".rstrip())
    if not signs:
        return ""
    return (
        f"The latents have collapsed in round {record.round}: {'; '.join(signs)}. The encoder gives "
        "nearly the same latents for every image, so a choice by the sampler's scores is close to a random "
        "one. "
        "Lower the weight of the divergence or raise that of the reconstruction."
    )
