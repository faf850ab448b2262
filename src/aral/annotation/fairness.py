"""In words: whether the images that an accuracy was measured on are a fair sample."""

from __future__ import annotations

from aral.annotation import Estimate
from aral.words import counted

FAIR = (
    "Measured on images drawn at random and never trained on. The labels chosen for training are not a fair "
    "sample of the folder."
)


def fairness(estimate: Estimate | None) -> str:
    """How far an accuracy can be relied on, for everywhere it is shown."""
    if estimate is None or not estimate.late:
        return FAIR
    return (
        f"{FAIR} {counted(estimate.late, 'image')} of {estimate.count} came in later, drawn from what had no "
        "answer yet when others had been chosen already: if those were difficult, the accuracy is too high."
    )
