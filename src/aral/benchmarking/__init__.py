"""Experiments: specifications, presets, runs with known labels, and grids of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
