"""A project in a folder of images: images, labels, estimates, training beside labelling, import and export."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
