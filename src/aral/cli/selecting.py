"""``aral select``: which images of a folder or of shards to label, by features of a backbone or by words."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from jaxtyping import Int64

from aral.acquisition import make_acquisition
from aral.annotation.formats import csv_bytes, unescape_cell
from aral.benchmarking.engines import LOCAL, EngineSettings
from aral.benchmarking.shard_jobs import ShardResources
from aral.benchmarking.sharded_selection import ShardQuery, check_labels_for, select_rows
from aral.cli.options import (
    Address,
    AsJson,
    Download,
    EngineName,
    ImageColumn,
    Keys,
    ShardFeaturesOption,
    SlurmOption,
    Workers,
)
from aral.cli.shards import HEADER, ShardOptions, image_folder, rows_of, select_shards, unreadable_of
from aral.data.folder import FolderImages
from aral.data.folder_layout import image_files
from aral.data.scan import scan
from aral.durable import write_file
from aral.errors import BadInput
from aral.plural import counted
from aral.representations import (
    Backbone,
    FeatureCache,
    FeatureReader,
    RepresentationSettings,
    cosine_similarities,
    make_backbone,
)
from aral.representations.settings import EMBEDDED
from aral.representations.text import without_text

SHORT_STRATEGIES = {"diverse": "maxherding", "typical": "typiclust", "uncertain": "uncertainty-herding"}
"""Short names and the acquisitions that they stand for."""

DEFAULT = "diverse"
BY_WORDS = "text"
_PATH, _KEY, _CLASS = ("path", "file"), ("key", "path", "file"), ("label", "class")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("select")(select_command)


def select_command(
    pool: Annotated[
        list[str],
        typer.Argument(
            help="A folder of images, at any depth; or shards (Parquet files, WebDataset tars): addresses, patterns "
            "such as 's3://bucket/pool/*.parquet', folders of them."
        ),
    ],
    n: Annotated[int, typer.Option("--n", "-n", help="How many images.", min=1)],
    strategy: Annotated[
        str | None,
        typer.Option(
            help="diverse (the default), typical, uncertain (needs --labels), or an acquisition of aral list."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help='Instead of a strategy: the images most like these words, such as "a dog on grass"; needs a '
            "representation with text, such as hf:openai/clip-vit-base-patch32."
        ),
    ] = None,
    representation: Annotated[
        str, typer.Option(help="Backbone of the features; see docs/representations.md.")
    ] = EMBEDDED,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the columns path (of shards: key) and label; these images are not selected."
        ),
    ] = None,
    out: Annotated[str, typer.Option(help="The CSV file to write; - is the screen.")] = "-",
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    image_column: ImageColumn = None,
    keys: Keys = None,
    features: ShardFeaturesOption = None,
    workers: Workers = None,
    engine: EngineName = LOCAL,
    address: Address = None,
    slurm: SlurmOption = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Select images of a folder or of shards to label and write them as CSV; no labels are needed."""
    if text is not None and strategy is not None:
        raise BadInput("--text and --strategy contradict each other.", "Give one of them.")
    folder = image_folder(pool)
    engine_settings = EngineSettings(engine, address, tuple(slurm or ()))
    given = ShardOptions(image_column, keys, ShardResources(features, workers, engine_settings))
    if folder is not None:
        given.refuse_beside(folder)
        if text is not None:
            chosen = _by_words(folder, n, text, representation, labels, download)
        else:
            chosen = _by_strategy(folder, n, strategy or DEFAULT, representation, labels, seed, download)
    else:
        if text is not None:
            raise BadInput(
                "--text selects from a folder of images, not from shards.", "Leave it out, or give a folder."
            )
        query = ShardQuery(
            n,
            _acquisition_name(strategy or DEFAULT),
            RepresentationSettings(backbone=representation),
            {} if labels is None else read_labels(labels, _KEY),
            seed,
            strategy or DEFAULT,
        )
        found = select_shards(pool, query, given, download)
        chosen = _Chosen(HEADER, rows_of(found), found.acquisition, found.pool_size, unreadable_of(found))
    if out != "-":
        write_file(Path(out), csv_bytes(chosen.header, chosen.rows))
    if as_json:
        selected = [dict(zip(chosen.header, row, strict=True)) for row in chosen.rows]
        typer.echo(json.dumps({"strategy": chosen.by, "selected": selected, "unreadable": chosen.unreadable}))
    elif out == "-":
        typer.echo(csv_bytes(chosen.header, chosen.rows).decode("utf-8-sig"), nl=False)
    else:
        typer.echo(f"{counted(n, 'image')} of {chosen.pool_size} selected by {chosen.by}: {out}")


def _acquisition_name(strategy: str) -> str:
    return SHORT_STRATEGIES.get(strategy, strategy)


class _Chosen(NamedTuple):
    """Selected images as a table, what selected them, how many could be read, and those that could not."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | int | float | None]]
    by: str
    pool_size: int
    unreadable: Sequence[Mapping[str, str]]

    @classmethod
    def of_folder(
        cls, rows: Sequence[Sequence[str | int | float | None]], by: str, read: FolderImages
    ) -> _Chosen:
        unreadable = [{"path": bad.path, "reason": bad.reason} for bad in read.unreadable]
        return cls(("path", "rank", "score", "reason"), rows, by, len(read.paths), unreadable)


def _by_strategy(
    folder: Path,
    n: int,
    strategy: str,
    representation: str,
    labels: Path | None,
    seed: int,
    download: bool,
) -> _Chosen:
    acquisition = make_acquisition(_acquisition_name(strategy))
    given, names = {} if labels is None else read_labels(labels), _names(folder)
    check_labels_for(acquisition, len(set(given.values())), strategy)
    backbone = make_backbone(RepresentationSettings(backbone=representation), download)
    read = _read(folder, names, backbone)
    known = _known(given, read.paths, labels)
    check_labels_for(acquisition, known.class_count, strategy)
    features = read.images.pixels.flatten(1).numpy()
    found = select_rows(
        features, n, acquisition, backbone, known.rows, known.classes, known.class_count, seed
    )
    ranked = enumerate(zip(found.ids, found.scores, found.reasons, strict=True), 1)
    rows = [(read.paths[row], rank, float(score), reason) for rank, (row, score, reason) in ranked]
    return _Chosen.of_folder(rows, found.acquisition, read)


def _by_words(
    folder: Path, n: int, text: str, representation: str, labels: Path | None, download: bool
) -> _Chosen:
    """The images whose features are most like those of the words, by cosine similarity."""
    words = " ".join(text.split())
    if not words:
        raise BadInput("--text is empty.", 'Describe an image: --text "a dog on grass"')
    given, names = {} if labels is None else read_labels(labels), _names(folder)
    backbone = make_backbone(RepresentationSettings(backbone=representation), download)
    if backbone.text is None:
        raise without_text(representation)
    wanted = backbone.text([words])
    read = _read(folder, names, backbone)
    known = _known(given, read.paths, labels)
    similar = cosine_similarities(read.images.pixels.flatten(1), wanted)[:, 0].numpy()
    order = np.argsort(-similar, kind="stable")
    order = order[~np.isin(order, known.rows)]
    if n > order.size:
        raise BadInput(
            f"{counted(n, 'image')} but only {order.size} without a label.",
            f"Give --n {order.size} or fewer.",
        )
    reason = f'similar to "{words}"'
    ranked = enumerate(order[:n].tolist(), 1)
    rows = [(read.paths[row], rank, float(similar[row]), reason) for rank, row in ranked]
    return _Chosen.of_folder(rows, BY_WORDS, read)


@dataclass(frozen=True, eq=False)
class _Known:
    """Labelled images: their rows, their classes 0..K−1, and K."""

    rows: Int64[np.ndarray, " L"]
    classes: Int64[np.ndarray, " L"]
    class_count: int


def read_labels(path: Path, columns: Sequence[str] = _PATH) -> dict[str, str]:
    """The class of each path of a CSV table with the columns ``path`` and ``label``; empty labels are left out.

    Args:
        path: of the table.
        columns: names that the column of paths, or of keys, may have.

    Raises:
        BadInput: the file cannot be read, a column is missing, or a path has two classes.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The labels {path} cannot be read: {error}.", "Give a CSV file in UTF-8.") from error
    table = csv.DictReader(io.StringIO(text, newline=""))
    names = list(table.fieldnames or ())
    path_column = next((name for name in names if name.strip().lower() in columns), None)
    class_column = next((name for name in names if name.strip().lower() in _CLASS), None)
    if path_column is None or class_column is None:
        raise BadInput(
            f"The labels {path} need the columns {columns[0]} and label; found: {', '.join(names) or 'none'}.",
            "Write them into the first line.",
        )
    found: dict[str, str] = {}
    for row in table:
        name, label = (unescape_cell((row[column] or "").strip()) for column in (path_column, class_column))
        if not name or not label:
            continue
        if found.setdefault(name, label) != label:
            raise BadInput(
                f"{path}, line {table.line_num}: '{name}' has two classes, '{found[name]}' and '{label}'.",
                "Keep one of them.",
            )
    return found


def _names(folder: Path) -> Sequence[str]:
    """The files of a folder that may be images."""
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}.", "Give the folder that holds the images.")
    names = image_files(folder, scan(folder).files)
    if not names:
        raise BadInput(f"There is no image in {folder}.", "Give the folder that holds the images.")
    return names


def _read(folder: Path, names: Sequence[str], backbone: Backbone) -> FolderImages:
    """Features of the images that can be read."""
    with FeatureCache.of(backbone, precision=RepresentationSettings().precision) as cache:
        read = FeatureReader(backbone, cache)(folder, names)
    if read.unreadable:
        bad = read.unreadable[0]
        count = counted(len(read.unreadable), "file")
        typer.echo(f"{count} could not be read, such as {bad.path} ({bad.reason}).", err=True)
    if not read.paths:
        raise BadInput(f"None of the {counted(len(names), 'image')} of {folder} can be read.")
    return read


def _known(given: dict[str, str], paths: Sequence[str], labels: Path | None) -> _Known:
    """The labels of images that are there; says how many there are, and how many are of other paths."""
    place = {path: row for row, path in enumerate(paths)}
    labelled = {place[path]: name for path, name in given.items() if path in place}
    names = sorted(set(labelled.values()))
    rows = sorted(labelled)
    classes = [names.index(labelled[row]) for row in rows]
    if labels is not None:
        typer.echo(
            f"{counted(len(rows), 'image has', 'images have')} a label in {labels}; "
            f"{counted(len(given) - len(rows), 'path')} of it not among the images.",
            err=True,
        )
    return _Known(np.array(rows, dtype=np.int64), np.array(classes, dtype=np.int64), len(names))
