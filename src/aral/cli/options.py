"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from aral import benchmarking, data
from aral.data.image_file import MILLION, MOST_MILLIONS
from aral.data.shards import ROWS
from aral.errors import BadInput, unknown_name
from aral.representations.settings import AUTO, EMBEDDED, GIVEN, PIXELS, RepresentationSettings

DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", help="Folder with data sets. Default: $ARAL_DATA, else ~/.cache/aral."),
]
Download = Annotated[bool, typer.Option("--download", help="Download missing data and weights.")]
RepresentationOption = Annotated[
    str | None,
    typer.Option(
        "--representation",
        help="What learners read: auto, pixels, efficientnet-lite0-spatial, timm:NAME, …; see docs/representations.md. "
        "Default: auto for a folder, pixels for a named data set.",
    ),
]
Threads = Annotated[
    int | None, typer.Option(help="Processor threads; a different number gives slightly different results.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting, such as learner.training.steps=500; may be repeated."),
]
Budget = Annotated[int | None, typer.Option(help="Number of labels in all.")]
QuerySize = Annotated[int | None, typer.Option(help="Labels per round.")]
Steps = Annotated[int | None, typer.Option(help="Training steps per round.")]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        help="Accept images of up to this many million pixels; reading takes 3 to 4 bytes per pixel.",
        min=1,
        max=MOST_MILLIONS,
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(
        "--features", help="In place of a data set: features of your own, N×F numbers in a .npy file."
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="CSV of labels: file,label and if wanted split for a folder of images; label or row,label for --features.",
    ),
]
TestShare = Annotated[
    float | None,
    typer.Option(
        "--test-share",
        help="Share of the images for the test set, where the data have none. Default: 0.2, of --features 0.25.",
    ),
]
TestFeatures = Annotated[
    Path | None, typer.Option("--test-features", help="A test set of its own beside --features.")
]
TestLabels = Annotated[Path | None, typer.Option("--test-labels", help="The labels of --test-features.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]

Workers = Annotated[
    int | None,
    typer.Option(
        help="Units (of select: shards) at once. Default: as many as cores and free memory allow, or the cluster takes."
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        help="Where units run: local (processes of this machine), ray or slurm. Machines must share the data and the "
        "folder of results: --folder, of select --features."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="The Ray cluster: HOST:PORT, ray://HOST:PORT or auto. Default: RAY_ADDRESS, or a new one."
    ),
]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm", help="KEY=VALUE for sbatch, repeatable: partition=gpu, time=240 (minutes), mem=16G."
    ),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        help="Of shards: the column with the images, in tars their extension; where there are several."
    ),
]
Keys = Annotated[
    str | None,
    typer.Option(help=f"Of shards: the column that identifies an image, or {ROWS} to number them."),
]
ShardFeaturesOption = Annotated[
    Path | None,
    typer.Option(
        "--features", help="Of shards: the folder that keeps their features. Default: in the cache folder."
    ),
]

Baseline = Annotated[
    str | None,
    typer.Option(help="Method to compare the others with, such as random; see docs/verdicts.md."),
]
Accuracy = Annotated[
    list[float] | None,
    typer.Option(help="Accuracy in % for which to count the labels needed; may be repeated."),
]


def short_settings(
    budget: int | None = None,
    query_size: int | None = None,
    steps: int | None = None,
    representation: str | None = None,
) -> list[str]:
    """The settings of the short options, as ``--set`` takes them; options that were not given are left out."""
    named = {
        "representation.backbone": None
        if representation is None
        else json.dumps(representation, ensure_ascii=False),
        "rounds.budget": budget,
        "rounds.query_size": query_size,
        "learner.training.steps": steps,
    }
    return [f"{name}={value}" for name, value in named.items() if value is not None]


def own_data(
    dataset: str | None,
    features: Path | None,
    labels: Path | None,
    test_share: float | None,
    test_features: Path | None,
    test_labels: Path | None,
) -> tuple[data.FeatureArrays | None, list[str]]:
    """The arrays that the options name, and the settings of their labels and test share beside a data set.

    Raises:
        BadInput: as for :func:`arrays_of`.
    """
    settings: list[str] = []
    if features is None and dataset is not None:
        settings, labels, test_share = settings_of_files(labels, test_share), None, None
    return arrays_of(features, labels, test_share, test_features, test_labels), settings


def settings_of_files(labels: Path | None, test_share: float | None) -> list[str]:
    """The settings of a table of labels and of a test share, beside a folder of images or an ``.npz`` file."""
    named = {
        "labels": None if labels is None else str(labels.expanduser().absolute()),
        "test_share": test_share,
    }
    return [
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in named.items()
        if value is not None
    ]


def whole_path(dataset: str) -> str:
    """The whole path of an ``.npz`` file, so that its run can be resumed from anywhere; other data as they are."""
    return str(Path(dataset).expanduser().absolute()) if benchmarking.is_own_file(dataset) else dataset


def default_representation(dataset: str) -> str:
    """What learners read where no option says: pixels of a named data set; of a folder, its images decide."""
    return PIXELS if dataset in data.NAMES else AUTO


def features_suffix(representation: str) -> str:
    """What the name of a folder ends in: the backbone after a hyphen; nothing for pixels and for given features."""
    return "" if representation == GIVEN else RepresentationSettings(backbone=representation).suffix


def arrays_of(
    features: Path | None,
    labels: Path | None,
    test_share: float | None,
    test_features: Path | None,
    test_labels: Path | None,
) -> data.FeatureArrays | None:
    """The arrays that the options name, with the digest of what they hold; None if none is given.

    Raises:
        BadInput: an option lacks another one or contradicts it, or the files cannot be used.
    """
    pairs = [
        ("--features", features, "--labels", labels),
        ("--test-features", test_features, "--test-labels", test_labels),
    ]
    for one, first, other, second in pairs:
        if (first is None) != (second is None):
            given, missing = (one, other) if second is None else (other, one)
            raise BadInput(f"{given} needs {missing} beside it.", f"Add {missing} FILE.")
    if features is None or labels is None:
        if test_share is not None or test_features is not None:
            raise BadInput(
                "The options for a test set belong to --features.",
                "Add --features FEATURES.npy --labels LABELS.csv",
            )
        return None
    if test_share is not None and test_features is not None:
        raise BadInput("--test-share and --test-features contradict each other.", "Give one of them.")
    if test_share is not None and not 0 < test_share < 1:
        raise BadInput(f"--test-share {test_share:g} is not between 0 and 1.", "Try --test-share 0.25")
    files = {
        name: str(path.expanduser().absolute())
        for name, path in (
            ("features", features),
            ("labels", labels),
            ("test_features", test_features),
            ("test_labels", test_labels),
        )
        if path is not None
    }
    share = {} if test_share is None else {"test_share": test_share}
    return data.FeatureArrays.model_validate(files | share).with_digest()


TrackerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tracker",
        help="Also track the metrics with tensorboard, wandb or mlflow; may be repeated. Nothing leaves this machine.",
    ),
]
TrackerFolder = Annotated[
    Path | None,
    typer.Option(help="Gets a folder for each tracker. Default: the folder in which the run folder lies."),
]
Metric = Annotated[
    str,
    typer.Option(
        help="What is compared: accuracy, balanced-accuracy, macro-f1 or 'recall of CLASS'; of the test images."
    ),
]


def check_metric(metric: str) -> None:
    """Refuse an unknown metric before hours of work; the class of a recall is known with the data only.

    Raises:
        BadInput: there is no such metric.
    """
    if not metric.lower().startswith(benchmarking.RECALL):
        benchmarking.metric_named(metric, ())


def targets_of(accuracy: Sequence[float] | None) -> tuple[float, ...]:
    """Accuracies in % as numbers in (0, 1].

    Raises:
        BadInput: a number is not in (0, 100].
    """
    for value in accuracy or ():
        if not 0 < value <= 100:
            raise BadInput(f"The target accuracy {value:g} % is not in (0, 100].", "Give 90 for 90 %.")
    return tuple(value / 100 for value in accuracy or ())


def baseline_of(baseline: str | None, methods: Iterable[str]) -> str | None:
    """The full name of a baseline, such as ``supervised+random`` for ``random``.

    Args:
        baseline: as typed; None for none.
        methods: full names of the methods that are compared.

    Raises:
        BadInput: the baseline is not one of them.
    """
    known = tuple(dict.fromkeys(methods))
    if baseline is None or baseline in known:
        return baseline
    try:
        method = benchmarking.Method.parse(baseline)
        names = [str(method.on(representation)) for representation in (PIXELS, EMBEDDED)]
    except BadInput:
        names = [baseline]
    name = next((each for each in names if each in known), None)
    if name is None:
        raise unknown_name("baseline", baseline, known)
    return name


def in_pixels(millions: int | None) -> int | None:
    """``--max-pixels`` in pixels; None if it was not given."""
    return None if millions is None else millions * MILLION
