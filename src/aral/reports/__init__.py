"""Reports of runs: numbers first (typed rows), then drawings and one offline HTML page."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
