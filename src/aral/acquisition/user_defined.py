"""Acquisitions defined by the user, outside this package, and named ``module:NAME``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from aral.acquisition.interface import Acquisition
from aral.errors import BadInput

_HINT = "Write MODULE:NAME for an object NAME in MODULE.py of this folder; see docs/extending.md."


def is_user_defined(name: str) -> bool:
    """Whether a name has the form ``module:NAME``."""
    return ":" in name


def import_acquisition(place: str) -> Acquisition:
    """Import an acquisition, which runs the user's code. A class is called without arguments.

    Modules are searched in Python's path and in the working directory, in worker processes too.

    Args:
        place: ``module:NAME``.

    Raises:
        BadInput: there is no such module or name, or the object is not an acquisition.
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
            f"'{place}' is no acquisition: it must have a name, needs (a frozenset), and be callable.", _HINT
        )
    return made
