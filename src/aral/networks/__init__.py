"""The four networks E, G, D̃ and S at several scales, sized by arguments."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
