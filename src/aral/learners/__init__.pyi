from .aral import Aral, AralSettings
from .bgadl import BgadlSettings
from .catalogue import DEFAULT_ACQUISITION, LEARNERS, AnyLearner, variant_settings
from .division import Divisible
from .engine import Batch, Engine, Method, Phase, Term, classifier_state
from .evaluation import Evaluation, evaluate, evaluate_probabilities
from .fixmatch import FixMatchSettings
from .graph_ssl import GraphSslSettings
from .interface import Gallery, Learner, StepLosses, Task
from .linear import LinearSettings
from .nets import Nets
from .no_co_training import NoCoTrainingSettings
from .pseudo_label import PseudoLabelSettings
from .settings import LearnerSettings, Net, Ramp
from .supervised import SupervisedSettings
from .synthesis import Synthesised, synthesise
from .vaal import VaalSettings

__all__ = [
    "DEFAULT_ACQUISITION",
    "LEARNERS",
    "AnyLearner",
    "Aral",
    "AralSettings",
    "Batch",
    "BgadlSettings",
    "Divisible",
    "Engine",
    "Evaluation",
    "FixMatchSettings",
    "Gallery",
    "GraphSslSettings",
    "Learner",
    "LearnerSettings",
    "LinearSettings",
    "Method",
    "Net",
    "Nets",
    "NoCoTrainingSettings",
    "Phase",
    "PseudoLabelSettings",
    "Ramp",
    "StepLosses",
    "SupervisedSettings",
    "Synthesised",
    "Task",
    "Term",
    "VaalSettings",
    "classifier_state",
    "evaluate",
    "evaluate_probabilities",
    "synthesise",
    "variant_settings",
]
