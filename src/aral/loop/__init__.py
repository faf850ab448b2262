"""The active-learning loop: ask, tell, fit, evaluate; the run store it writes to; the oracles that answer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
