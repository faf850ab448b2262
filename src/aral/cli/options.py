"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

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
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
