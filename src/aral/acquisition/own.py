"""Acquisitions that somebody has written outside this package, by the place of their code."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from aral.acquisition.interface import Acquisition
from aral.errors import BadInput

_HINT = "Write MODULE:NAME for an object NAME in MODULE.py of this folder; see docs/extending.md."


def is_own(name: str) -> bool:
    """Whether a name is a place in a module, such as ``my_module:MINE``."""
    return ":" in name


def own_acquisition(place: str) -> Acquisition:
    """Import an acquisition: code that the user has named. A class is called without arguments.

    Modules are looked for where Python looks, and in the working directory, in worker processes too.

    Args:
        place: ``module:NAME``.

    Raises:
        BadInput: there is no such module or name, or it is no acquisition.
    """
    module_name, _, name = place.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module_name), name)
        made = found() if isinstance(found, type) else found
    except Exception as error:  # whatever the user's own code raises
        raise BadInput(f"'{place}' cannot be imported: {type(error).__name__}: {error}.", _HINT) from error
    if not isinstance(made, Acquisition) or not isinstance(made.needs, frozenset):
        raise BadInput(
            f"'{place}' is no acquisition: it needs a name, needs (a frozenset) and a call.", _HINT
        )
    return made
