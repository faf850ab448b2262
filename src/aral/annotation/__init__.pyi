from .accuracy_estimate import exact_interval
from .advice import Unknown, advise
from .annotations import AnswerEvent, AnswerReceipt, HistoryEntry
from .annotators import Annotator
from .class_names import class_names_of
from .classes import ClassChange, ProjectClass
from .classifier import Classifier, Description
from .consensus import Action
from .doctor import Check, examine
from .estimate import Estimate
from .exporting import Exported, export
from .forms import FORMS, USUAL, Form, Placing
from .grid import GridCell, GridPage
from .image_matching import ImageMatcher, Match, PathEnds
from .images import ImageStatus, ProjectImage
from .label_files import NotTaken, ReadLabels
from .label_import import Imported, import_labels
from .label_imports import ImportedAnswer, LabelImport, LabelImports, RecordedImport, UndoneImport
from .labels import Agreement, Anchoring, Disagreement, Label, LabelCounts, LabelUse, SuspectLabel
from .model_cards import model_card
from .models import Advice, ClassFigure, ModelRecord, Phase, TrainingState
from .pictures import PixelFile
from .prediction import Predicted, classify_file, find_classifier, newest_classifier, predict
from .predictions import Suggestion
from .project import Pace, Project
from .project_status import Status, status
from .provenance import (
    BROWSING,
    BY_CHANCE,
    ESTIMATE_SET,
    IMPORT,
    IMPORT_KEY,
    LABEL_STUDIO,
    Provenance,
    Purpose,
)
from .queue import Card
from .settings import ProjectSettings
from .sync import SyncProgress, SyncResult
from .trainer import Trainer
from .training_folders import session_folders
from .training_options import Effort, TrainingOptions, changed_options, read_options, write_options
from .training_worker import TrainerProcess

__all__ = [
    "BROWSING",
    "BY_CHANCE",
    "ESTIMATE_SET",
    "FORMS",
    "IMPORT",
    "IMPORT_KEY",
    "LABEL_STUDIO",
    "USUAL",
    "Action",
    "Advice",
    "Agreement",
    "Anchoring",
    "Annotator",
    "AnswerEvent",
    "AnswerReceipt",
    "Card",
    "Check",
    "ClassChange",
    "ClassFigure",
    "Classifier",
    "Description",
    "Disagreement",
    "Effort",
    "Estimate",
    "Exported",
    "Form",
    "GridCell",
    "GridPage",
    "HistoryEntry",
    "ImageMatcher",
    "ImageStatus",
    "Imported",
    "ImportedAnswer",
    "Label",
    "LabelCounts",
    "LabelImport",
    "LabelImports",
    "LabelUse",
    "Match",
    "ModelRecord",
    "NotTaken",
    "Pace",
    "PathEnds",
    "Phase",
    "PixelFile",
    "Placing",
    "Predicted",
    "Project",
    "ProjectClass",
    "ProjectImage",
    "ProjectSettings",
    "Provenance",
    "Purpose",
    "ReadLabels",
    "RecordedImport",
    "Status",
    "Suggestion",
    "SuspectLabel",
    "SyncProgress",
    "SyncResult",
    "Trainer",
    "TrainerProcess",
    "TrainingOptions",
    "TrainingState",
    "UndoneImport",
    "Unknown",
    "advise",
    "changed_options",
    "class_names_of",
    "classify_file",
    "exact_interval",
    "examine",
    "export",
    "find_classifier",
    "import_labels",
    "model_card",
    "newest_classifier",
    "predict",
    "read_options",
    "session_folders",
    "status",
    "write_options",
]
