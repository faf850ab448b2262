"""The labelling page: a server for one project on this machine, and what the browser shows of it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
