"""Every acquisition by name."""

from __future__ import annotations

from aral.acquisition.interface import Acquisition
from aral.acquisition.random import RANDOM
from aral.acquisition.sampler import ARAL, VAAL
from aral.acquisition.typical import TYPICLUST
from aral.acquisition.uncertainty import BALD, MAX_ENTROPY
from aral.errors import unknown_name

ACQUISITIONS: dict[str, Acquisition] = {
    acquisition.name: acquisition for acquisition in (RANDOM, MAX_ENTROPY, BALD, VAAL, ARAL, TYPICLUST)
}


def acquisition(name: str) -> Acquisition:
    """The acquisition of this name.

    Raises:
        BadInput: there is none; the nearest name is suggested.
    """
    if name not in ACQUISITIONS:
        raise unknown_name("acquisition", name, ACQUISITIONS)
    return ACQUISITIONS[name]
