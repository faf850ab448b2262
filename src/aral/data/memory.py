"""How much memory data would take, asked before they are read."""

from __future__ import annotations

import os
from pathlib import Path

from aral.errors import BadInput


def check_memory(bytes_needed: int, path: Path) -> None:
    """Refuse to fill more memory than the machine has, where the system tells how much that is.

    Args:
        bytes_needed: by the images when they are read.
        path: where they lie.

    Raises:
        BadInput: the machine has less.
    """
    if not hasattr(os, "sysconf"):
        return
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if bytes_needed > available:
        raise BadInput(
            f"The images of {path} would take {bytes_needed / 2**30:.0f} GiB of memory; this machine has "
            f"{available / 2**30:.0f} GiB.",
            "Choose a smaller side, or fewer images.",
        )
