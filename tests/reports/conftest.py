"""Run folders as a session writes them, small enough to work every number out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from aral.durable import Json
from aral.loop import Stage, Store
from aral.types import ClassAnswer, NoClass, NoClassAnswer, Selection

CONFUSION = [[3, 1, 0], [0, 4, 0], [2, 0, 0]]


@dataclass(frozen=True)
class Written:
    """A run to be written: two images a round, of which the second is skipped.

    Attributes:
        accuracies: one a round; None for a round that is still being trained.
    """

    accuracies: Sequence[float | None] = (0.5, 0.75)
    method: str = "aral+aral"
    seed: int = 0
    data: str = "shapes"
    note: str = "JPEG copy"
    class_names: Sequence[str] = ("circle", "square", "star")
    reasons: Sequence[str] = ("surely unlabelled", "also unlabelled")
    settings: Json = field(default_factory=lambda: {"learner": {"steps": 4}})
    pictures: bool = True
    numbers: dict[str, float] = field(default_factory=dict)
    first_labelled: int = 10
    chosen_count: int = 2


def write_run(folder: Path, run: Written) -> Path:
    """Write a run folder with the real store."""
    with Store.open(folder, create=True) as store:
        recorded: dict[str, Json] = {
            "data": run.data, "note": run.note, "method": run.method, "learner": "aral",
            "acquisition": "aral", "seed": run.seed, "class names": list(run.class_names), "budget": 40,
        }  # fmt: skip
        for key, value in recorded.items():
            store.record_setting(key, value)
        for round_number, accuracy in enumerate(run.accuracies):
            write_round(store, run, round_number, accuracy)
            if run.pictures:
                write_pictures(folder / "pictures", round_number, run.chosen_count)
        store.record_event("warning", "2 phases were skipped")
    if run.settings is not None:
        (folder / "settings.json").write_text(json.dumps(run.settings))
    return folder


def write_round(store: Store, run: Written, round_number: int, accuracy: float | None) -> None:
    """Round r has r·10 more labels, ids 20r + 5 and 20r + 3, losses at steps 0 and 3 of 4."""
    store.record_round(round_number, run.first_labelled + 10 * round_number)
    ids = np.array([20 * round_number + 5, 20 * round_number + 3])
    store.record_query(round_number, Selection(ids, np.array([-0.25, -1.5]), "sampler", tuple(run.reasons)))
    store.labels.record(
        [
            (ClassAnswer(int(ids[0]), 2), f"u{round_number}a"),
            (NoClassAnswer(int(ids[1]), NoClass.SKIP), f"u{round_number}b"),
        ],
        round_number,
        "oracle",
    )
    store.record_metrics(round_number, 0, {"loss reconstruction": 8.0, "loss <b>odd</b>": 1.0})
    store.record_metrics(round_number, 3, {"loss reconstruction": 2.0, "loss <b>odd</b>": float("nan")})
    if accuracy is None:
        return
    figures = {"latent std": 0.8, "latent KL": 12.5, "sampler AUC": 0.7, "train seconds": 40.0}
    store.record_metrics(
        round_number, 4, {"accuracy": accuracy, "query seconds": 2.5, **figures, **run.numbers}
    )
    store.record_document(round_number, "confusion", CONFUSION)
    store.record_stage(round_number, Stage.TRAINED)
    store.record_stage(round_number, Stage.EVALUATED)


def write_pictures(folder: Path, round_number: int, chosen_count: int) -> None:
    """Red squares of 4×4 that grow brighter from picture to picture."""
    folder.mkdir(exist_ok=True)
    save_file(
        {
            "chosen": red_squares(chosen_count),
            "generated": red_squares(6).reshape(3, 2, 3, 4, 4),
            "originals": red_squares(5),
            "reconstructions": red_squares(5),
        },
        folder / f"round-{round_number:03d}.safetensors",
    )


def red_squares(count: int) -> np.ndarray:
    """Pictures count×3×4×4, red level 10·(place + 1), no green or blue."""
    squares = np.zeros((count, 3, 4, 4), dtype=np.uint8)
    squares[:, 0] = 10 * np.arange(1, count + 1, dtype=np.uint8)[:, None, None]
    return squares


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run into a folder of the given name; all else as in :class:`Written`."""

    def make(name: str = "run", **changes: object) -> Path:
        return write_run(tmp_path / name, Written(**changes))  # type: ignore[arg-type]

    return make
