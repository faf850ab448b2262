from .accuracy_estimate import exact_interval
from .advice import Unknown, advise
from .annotations import AnswerEvent, AnswerReceipt, GivenLabel, HistoryEntry, LabelChanged, ReplacedLabel
from .annotators import Annotator
from .classes import ClassChange, ProjectClass
from .classifier import (
    Classifier,
    Description,
    Predicted,
    classify_file,
    newest_classifier,
    predict,
)
from .consensus import Action
from .doctor import Check, examine
from .estimate import Estimate
from .exporting import Exported, export
from .exporting_runs import export_run
from .formats import DEFAULT_FORMATS, FORMATS, MODEL_FORMATS, RUN_FORMATS, Format, Placing
from .grid import GridCell, GridPage
from .images import ImageStatus, ProjectImage
from .import_units import LabelImport, LabelImportResult, LabelImports, UndoneImport
from .imported_labels import ImportedLabel
from .importing_labels import import_labels
from .label_files import class_names_of
from .label_formats.rows import ReadLabels, ReadOptions
from .labels import Agreement, Anchoring, Disagreement, Label, LabelCounts, LabelUse, SuspectLabel
from .loaded_run import LoadedRun, find_classifier, is_run_folder, load_run
from .matching import ImageMatcher, Match, PathEnds
from .model_cards import model_card
from .models import Advice, ClassFigure, ModelRecord, Phase, TrainingState
from .pictures import PictureSize, PixelFile
from .predictions import Suggestion, ZeroShot
from .project import Finish, Pace, Project
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
from .rejected import Rejected
from .searches import Search
from .settings import MOST_BUDGET, MOST_DRAWN, ProjectSettings
from .sync import SyncProgress, SyncResult
from .trainer import Trainer
from .training_folders import session_folders
from .training_options import Device, Effort, TrainingOptions, changed_options, read_options, write_options
from .training_worker import TrainerProcess

__all__ = [
    "BROWSING",
    "BY_CHANCE",
    "DEFAULT_FORMATS",
    "ESTIMATE_SET",
    "FORMATS",
    "IMPORT",
    "IMPORT_KEY",
    "LABEL_STUDIO",
    "MODEL_FORMATS",
    "MOST_BUDGET",
    "MOST_DRAWN",
    "RUN_FORMATS",
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
    "Device",
    "Disagreement",
    "Effort",
    "Estimate",
    "Exported",
    "Finish",
    "Format",
    "GivenLabel",
    "GridCell",
    "GridPage",
    "HistoryEntry",
    "ImageMatcher",
    "ImageStatus",
    "ImportedLabel",
    "Label",
    "LabelChanged",
    "LabelCounts",
    "LabelImport",
    "LabelImportResult",
    "LabelImports",
    "LabelUse",
    "LoadedRun",
    "Match",
    "ModelRecord",
    "Pace",
    "PathEnds",
    "Phase",
    "PictureSize",
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
    "ReadOptions",
    "Rejected",
    "ReplacedLabel",
    "Search",
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
    "ZeroShot",
    "advise",
    "changed_options",
    "class_names_of",
    "classify_file",
    "exact_interval",
    "examine",
    "export",
    "export_run",
    "find_classifier",
    "import_labels",
    "is_run_folder",
    "load_run",
    "model_card",
    "newest_classifier",
    "predict",
    "read_options",
    "session_folders",
    "status",
    "write_options",
]
