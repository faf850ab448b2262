"""Label-efficient image classification by adversarial representation active learning.

The same in Python as on the command line: make a pool, a learner and an acquisition, then ask and tell.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
