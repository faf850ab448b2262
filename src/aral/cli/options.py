"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from aral.data.image_file import MILLION, MOST_MILLIONS

DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", help="Folder with data sets. Default: $ARAL_DATA, else ~/.cache/aral."),
]
Download = Annotated[bool, typer.Option("--download", help="Let torchvision download missing data.")]
Threads = Annotated[int | None, typer.Option(help="Processor threads; belongs to the result.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, such as model.training.steps=500; may be given again."),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        help="Take images of up to so many million pixels; each needs 3 to 4 bytes a pixel while it is read.",
        min=1,
        max=MOST_MILLIONS,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]


def in_pixels(millions: int | None) -> int | None:
    """``--max-pixels`` in pixels; None when it was not given."""
    return None if millions is None else millions * MILLION


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
