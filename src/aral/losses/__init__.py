"""The paper's equations as pure functions: tensors in, one unweighted number out, in nats per image."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
