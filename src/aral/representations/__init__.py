"""From images to vectors and the neighbour graph: oriented gradients, principal components, label propagation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
