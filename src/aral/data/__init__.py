"""Images in: arrays, files, folders and named sets, all as one :class:`DataSet`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
