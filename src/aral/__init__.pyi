from .acquisition import Acquisition, Need, PoolView, Predictions, TopScores, make_acquisition, select
from .annotation import LoadedRun, load_run
from .benchmarking import Method, RunSpec, make_learner, resolve, run
from .data import DataSet, images_from_array, load
from .errors import AralError, BadInput, RunFailed
from .learners import Learner, LearnerSettings, evaluate
from .loop import GroundTruth, Observer, Oracle, Pace, Session, Store, Strategy
from .randomness import Stream
from .types import ClassAnswer, ImageSet, LabelledSet, NoClass, NoClassAnswer, Selection

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
    "LearnerSettings",
    "LoadedRun",
    "Method",
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
    "evaluate",
    "images_from_array",
    "load",
    "load_run",
    "make_acquisition",
    "make_learner",
    "resolve",
    "run",
    "select",
]

__version__: str
