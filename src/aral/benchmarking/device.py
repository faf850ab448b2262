"""Where networks are computed: chosen once when a run or a project's training begins, and recorded with it."""

from __future__ import annotations

from typing import Literal

import torch

from aral.durable import Json
from aral.errors import BadInput

Device = Literal["auto", "cpu", "cuda"]
"""``auto`` is ``cuda`` where there is a GPU, otherwise ``cpu``."""


def choose_device(wanted: Device = "auto", recorded: Json = None) -> str:
    """The device to compute on, as PyTorch names it.

    Args:
        wanted: what the user asks for.
        recorded: the device that the training was started on; it is kept, because another one gives other
            numbers. None for a training that is new, or older than this record.

    Raises:
        BadInput: there is no GPU, but one was asked for or the training was started on one.
    """
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = str(recorded or (automatic if wanted == "auto" else wanted))
    if not is_available(chosen):
        if recorded:
            raise BadInput(
                "This training was started on a GPU, and there is none now.",
                "Continue where the GPU is, or start again in another folder.",
            )
        raise BadInput("There is no GPU that PyTorch can use.", "Choose the device auto or cpu.")
    return chosen


def is_available(device: str) -> bool:
    """Whether this machine has a device."""
    return device != "cuda" or torch.cuda.is_available()
