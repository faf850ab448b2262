"""The command line: ``aral --help``."""

from aral.cli.app import main

__all__ = ["main"]
