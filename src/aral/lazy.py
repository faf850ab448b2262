"""Packages whose public names are loaded when they are first asked for: a start costs only what it uses.

PyTorch, SciPy and Matplotlib take seconds to load, and ``aral label`` needs none of them to show its page.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from types import ModuleType


class LazyPackage(ModuleType):
    """A package that finds its public names in its modules; see :func:`export_lazily`."""

    _homes: dict[str, str]

    def __getattr__(self, name: str) -> object:
        homes = self.__dict__.get("_homes", {})
        if name in homes:
            value: object = getattr(import_module(homes[name]), name)
        elif f"{self.__name__}.{name}" in homes.values():
            value = import_module(f"{self.__name__}.{name}")
        else:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        # Python puts a module into its package once it is loaded, where a function of the same name must stay.
        if not (isinstance(value, ModuleType) and name in self._homes):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._homes})


def export_lazily(package: str) -> None:
    """Load what a package imports under ``if TYPE_CHECKING:`` when it is asked for, and not before.

    That block is the only list of names and their modules: type checkers and import-linter read it as it is.

    Args:
        package: the ``__name__`` of the package, which calls this at the end of its ``__init__.py``.
    """
    module = sys.modules[package]
    loader = module.__spec__.loader if module.__spec__ else None
    assert isinstance(loader, SourceFileLoader)
    module.__dict__["_homes"] = _homes(loader.get_data(loader.get_filename(package)))
    module.__class__ = LazyPackage


def _homes(source: bytes) -> dict[str, str]:
    """The module of every name that is imported under ``if TYPE_CHECKING:``."""
    return {
        each.name: statement.module
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for each in statement.names
    }
