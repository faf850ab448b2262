"""Training beside labelling, and what comes out of it: estimates, advice, predictions, exports, model cards."""

from typing import TYPE_CHECKING

from aral.lazy import export_lazily

if TYPE_CHECKING:
    from aral.labelling.advice import Unknown, advise
    from aral.labelling.class_names import class_names_of
    from aral.labelling.classifier import Classifier, Description
    from aral.labelling.doctor import Check, examine
    from aral.labelling.estimate import exact_interval
    from aral.labelling.export import Exported, export
    from aral.labelling.forms import FORMS, USUAL, Form, Placing
    from aral.labelling.import_labels import Imported, import_labels
    from aral.labelling.label_files import NotTaken, ReadLabels
    from aral.labelling.model_card import model_card
    from aral.labelling.options import Effort, TrainingOptions, changed_options, read_options, write_options
    from aral.labelling.prediction import (
        Predicted,
        classify_file,
        find_classifier,
        newest_classifier,
        predict,
    )
    from aral.labelling.process import TrainerProcess
    from aral.labelling.session_folders import session_folders
    from aral.labelling.status import Status, status
    from aral.labelling.trainer import Trainer

__all__ = [
    "FORMS",
    "USUAL",
    "Check",
    "Classifier",
    "Description",
    "Effort",
    "Exported",
    "Form",
    "Imported",
    "NotTaken",
    "Placing",
    "Predicted",
    "ReadLabels",
    "Status",
    "Trainer",
    "TrainerProcess",
    "TrainingOptions",
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

export_lazily(__name__)
