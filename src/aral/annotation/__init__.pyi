from .advice import Unknown, advise
from .answer_records import (
    Action,
    Agreement,
    Anchoring,
    Answered,
    AnswerEvent,
    AnswerReceipt,
    Conflict,
    Counts,
    Label,
    LabelUse,
    Pace,
)
from .class_names import class_names_of
from .classifier import Classifier, Description
from .doctor import Check, examine
from .estimate_figures import exact_interval
from .exporting import Exported, export
from .figures import (
    Advice,
    ClassFigure,
    Disagreement,
    Estimate,
    GridCell,
    GridPage,
    ModelRecord,
    Phase,
    TrainingState,
)
from .forms import FORMS, USUAL, Form, Placing
from .image_matching import ImageMatcher, Match, PathEnds
from .label_files import NotTaken, ReadLabels
from .label_import import Imported, import_labels
from .label_imports import ImportedAnswer, LabelImport, LabelImports, RecordedImport, UndoneImport
from .model_cards import model_card
from .options import Effort, TrainingOptions, changed_options, read_options, write_options
from .pixels import PixelFile
from .prediction import Predicted, classify_file, find_classifier, newest_classifier, predict
from .process import TrainerProcess
from .project import Project
from .project_status import Status, status
from .records import (
    BROWSING,
    BY_CHANCE,
    ESTIMATE_SLICE,
    IMPORT,
    IMPORT_KEY,
    LABEL_STUDIO,
    Annotator,
    Asking,
    Card,
    ClassChange,
    ImageStatus,
    ImportProgress,
    ImportResult,
    PageSettings,
    ProjectClass,
    ProjectImage,
    Purpose,
    Suggestion,
)
from .run_folders import session_folders
from .trainer import Trainer

__all__ = [
    "BROWSING",
    "BY_CHANCE",
    "ESTIMATE_SLICE",
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
    "Answered",
    "Asking",
    "Card",
    "Check",
    "ClassChange",
    "ClassFigure",
    "Classifier",
    "Conflict",
    "Counts",
    "Description",
    "Disagreement",
    "Effort",
    "Estimate",
    "Exported",
    "Form",
    "GridCell",
    "GridPage",
    "ImageMatcher",
    "ImageStatus",
    "ImportProgress",
    "ImportResult",
    "Imported",
    "ImportedAnswer",
    "Label",
    "LabelImport",
    "LabelImports",
    "LabelUse",
    "Match",
    "ModelRecord",
    "NotTaken",
    "Pace",
    "PageSettings",
    "PathEnds",
    "Phase",
    "PixelFile",
    "Placing",
    "Predicted",
    "Project",
    "ProjectClass",
    "ProjectImage",
    "Purpose",
    "ReadLabels",
    "RecordedImport",
    "Status",
    "Suggestion",
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
