"""Fakes and planted data for tests of anything built on this package; nothing here trains for long."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
