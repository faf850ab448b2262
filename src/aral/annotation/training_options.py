"""The options of a project's training, stored in the project for every later start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from aral.durable import write_file
from aral.errors import BadInput
from aral.settings import Settings

FILE_NAME = "training.json"

Effort = Literal["quick", "normal", "thorough"]
"""How long a round may take: 0.4, 1 or 2.5 times the steps of the benchmarks."""

Device = Literal["auto", "cpu", "cuda"]
"""Where networks are computed; ``auto`` is ``cuda`` where there is a GPU, otherwise ``cpu``."""


class TrainingOptions(Settings):
    """How a project is trained."""

    method: str = "auto"  # learner and acquisition, as for `aral run`
    representation: str = "auto"  # pixels, a backbone by name, or auto: chosen from the images
    query_size: int | None = Field(
        None, ge=1, le=100_000
    )  # labels a round; none: chosen from budget and classes
    effort: Effort = "normal"
    seed: int = 0
    threads: int | None = Field(None, ge=1, le=1024)  # none: all processors but one, which the page needs
    device: Device = "auto"
    settings: tuple[str, ...] = ()  # single settings, such as learner.training.steps=500


def device_of(options: TrainingOptions) -> str:
    """Where the networks of a project are computed, as PyTorch names it."""
    import torch  # which a server does not need

    if options.device != "auto":
        return options.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def read_options(folder: Path) -> TrainingOptions:
    """The options of a project; the defaults when none were written yet.

    Args:
        folder: of the project.

    Raises:
        BadInput: the file is not what was written.
    """
    path = folder / FILE_NAME
    try:
        return TrainingOptions.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return TrainingOptions()
    except (OSError, ValidationError) as error:
        raise BadInput(f"{path} cannot be used: {str(error)[:300]}", "Correct it, or remove it.") from error


def changed_options(options: TrainingOptions, given: Mapping[str, object]) -> TrainingOptions:
    """The options with some of their fields replaced.

    Raises:
        BadInput: a value is out of range.
    """
    try:
        return TrainingOptions.model_validate({**options.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"Option {where}: {first['msg']}.", f"Got {first.get('input')!r}.") from error


def write_options(folder: Path, options: TrainingOptions, download: bool = False) -> None:
    """Save the options; a training worker reads them when it starts.

    Args:
        folder: of the project.
        options: to save.
        download: whether weights of a backbone that are not on this machine may be fetched.

    Raises:
        BadInput: the method, a setting or the representation does not exist, or the weights of a backbone are missing.
        RunFailed: a download failed.
    """
    from aral.benchmarking import Method, resolve  # loads PyTorch, which a server does not need
    from aral.benchmarking.auto import AUTO
    from aral.representations import make_backbone

    named = options.representation != AUTO
    spec = resolve(
        str(folder),
        Method.parse(options.method),
        options.settings,
        representation={"backbone": options.representation} if named else None,
    )
    if named and not spec.representation.is_pixels:
        make_backbone(spec.representation, download)
    content = json.dumps(options.model_dump(mode="json"), indent=2)
    write_file(folder / FILE_NAME, content.encode(), private=True)
