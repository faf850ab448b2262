"""Label-efficient image classification by adversarial representation active learning.

The same in Python as on the command line: make a pool, a learner and an acquisition, then ask and tell.
"""

from typing import TYPE_CHECKING

from aral.lazy import export_lazily

if TYPE_CHECKING:
    from aral.acquisition import Acquisition, Need, PoolView, Predictions, TopScores, acquisition
    from aral.data import DataSet, images_from_array, load
    from aral.errors import AralError, BadInput, RunFailed
    from aral.experiments import Method, RunSpec, make_learner, resolve, run
    from aral.learners import Learner, Model, evaluate
    from aral.oracles import GroundTruth, Oracle
    from aral.randomness import Stream
    from aral.session import Observer, Pace, Session, Strategy
    from aral.store import Store
    from aral.types import ClassAnswer, ImageSet, LabelledSet, NoClass, NoClassAnswer, Selection

__version__ = "0.1.0"

__all__ = [
    "Acquisition",
    "AralError",
    "BadInput",
    "ClassAnswer",
    "DataSet",
    "GroundTruth",
    "ImageSet",
    "LabelledSet",
    "Learner",
    "Method",
    "Model",
    "Need",
    "NoClass",
    "NoClassAnswer",
    "Observer",
    "Oracle",
    "Pace",
    "PoolView",
    "Predictions",
    "RunFailed",
    "RunSpec",
    "Selection",
    "Session",
    "Store",
    "Strategy",
    "Stream",
    "TopScores",
    "acquisition",
    "evaluate",
    "images_from_array",
    "load",
    "make_learner",
    "resolve",
    "run",
]

export_lazily(__name__)
