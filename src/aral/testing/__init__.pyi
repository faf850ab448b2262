from .acquisitions import check_acquisition, planted_predictions, planted_view
from .backbones import CountingTrunk, text_image_backbone, tiny_backbone
from .learners import FakeLearner
from .observers import RecordingObserver
from .planted import planted_data, planted_pool, tiny_settings
from .postgres import PostgresServer, find_programs
from .projects import (
    DIGIT_CLASSES,
    TINY_TRAINING,
    answer_cards,
    answer_event,
    digit_class,
    noise_image,
    project_database,
    project_rows,
    run_trainer,
    save_digits,
    save_noise,
)
from .records import run_record, runs_with_gains
from .shards import parquet_bytes, small_images, tar_bytes, write_parquet, write_tar
from .slurm import make_slurm_commands
from .trackers import FakeMlflow, FakeTensorBoard, FakeWandb, FakeWandbRun, FakeWriter

__all__ = [
    "DIGIT_CLASSES",
    "TINY_TRAINING",
    "CountingTrunk",
    "FakeLearner",
    "FakeMlflow",
    "FakeTensorBoard",
    "FakeWandb",
    "FakeWandbRun",
    "FakeWriter",
    "PostgresServer",
    "RecordingObserver",
    "answer_cards",
    "answer_event",
    "check_acquisition",
    "digit_class",
    "find_programs",
    "make_slurm_commands",
    "noise_image",
    "parquet_bytes",
    "planted_data",
    "planted_pool",
    "planted_predictions",
    "planted_view",
    "project_database",
    "project_rows",
    "run_record",
    "run_trainer",
    "runs_with_gains",
    "save_digits",
    "save_noise",
    "small_images",
    "tar_bytes",
    "text_image_backbone",
    "tiny_backbone",
    "tiny_settings",
    "write_parquet",
    "write_tar",
]
