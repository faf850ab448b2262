"""``aral predict`` on features against decoder and backbone alone, and the differences of graphs and precisions.

    python benchmarks/predict_speed.py data/photos/trash --images 300

A logistic regression on features of the embedded backbone, with 100 labels, predicts images of the test set: as a
command does, and by a bare loop that decodes them and passes them through the backbone on as many threads. Both are
measured in turns, because other work on the machine changes the speed; the ratio of processor seconds depends least on
it. Differences are the largest of any probability, over the same images at odd sizes, up to 12 megapixels. Rows:
``predict-speed.json``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from PIL import Image

from aral.annotation import Classifier, Description
from aral.annotation.classifier import predictions
from aral.annotation.portable import export_onnx
from aral.annotation.snippets import READ
from aral.data.dataset import FeaturesOf
from aral.data.image_file import open_image
from aral.logistic import fit_logistic
from aral.networks import FeatureFamily
from aral.representations import (
    Backbone,
    ImageFiles,
    efficientnet_lite0,
    features_in_order,
    fit_projection,
    project,
)
from aral.representations.backbone import BATCH
from kept_rows import KeptRows

LABELS, POOL, COMPONENTS, TURNS = 100, 400, 128, 5
LARGE = (4000, 3000)
SIZES = (
    (192, 256),
    (301, 97),
    (97, 301),
    (224, 224),
    (500, 375),
    (640, 427),
    (33, 21),
    (1000, 333),
    (1279, 853),
    (2000, 1333),
)
"""Width and height of the images on which graphs and precisions are compared."""


def some_files(folder: Path, count: int) -> list[Path]:
    """Images of all classes, drawn at random."""
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    return [files[place] for place in np.random.default_rng(0).permutation(len(files))[:count]]


def features_of(backbone: Backbone, files: Sequence[Path]) -> np.ndarray:
    """Features of files that can all be read."""
    images = ImageFiles(Path("/"), [str(path) for path in files])
    rows = [each for each in features_in_order(images, backbone) if isinstance(each, np.ndarray)]
    assert len(rows) == len(files)
    return np.stack(rows)


def trained(backbone: Backbone, folder: Path) -> Classifier:
    """Logistic regression on the principal components of some training images."""
    files = some_files(folder / "train", POOL)
    names = sorted({path.parent.name for path in files})
    features = features_of(backbone, files)
    projection = fit_projection(features, COMPONENTS)
    rows = project(projection, features[:LABELS]).flatten(1).double().numpy()
    classes = np.array([names.index(path.parent.name) for path in files[:LABELS]])
    weights, bias = fit_logistic(rows, classes, len(names), 1.0)
    shape = (projection.matrix.shape[1], 1, 1)
    family = FeatureFamily(discriminator_sizes=(), input_noise=0.0)
    state = family.discriminator(shape, len(names), 1).state_dict()
    head = {"weight": torch.from_numpy(weights).float(), "bias": torch.from_numpy(bias).float()}
    state |= {f"class_layer.{name}": value for name, value in head.items()}
    framing = backbone.framing.model_dump_json()
    made = FeaturesOf(backbone.name, backbone.licence, backbone.source, backbone.digest, framing, COMPONENTS)
    described = Description(family, shape, tuple(names), tuple(range(len(names))), 1, {}, made)
    return Classifier(described, state, projection)


def square(backbone: Backbone, path: Path) -> np.ndarray:
    """A file as the backbone reads it."""
    return backbone.framing.frame(open_image(path.read_bytes(), enough=backbone.framing.enough).image)


def bare(backbone: Backbone, files: Sequence[Path]) -> None:
    """Decode files and pass them through a backbone; nothing else."""

    def one(part: Sequence[Path]) -> torch.Tensor:
        return backbone.features(torch.from_numpy(np.stack([square(backbone, path) for path in part])))

    parts = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    with ThreadPoolExecutor(os.cpu_count(), initializer=lambda: torch.set_num_threads(1)) as threads:
        list(threads.map(one, parts))


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long work takes, and how much of the processor."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def speed(classifier: Classifier, backbone: Backbone, files: Sequence[Path]) -> dict[str, object]:
    """Images a second of both, and the ratio of their seconds; medians over the turns."""
    with TemporaryDirectory() as name:
        for number, path in enumerate(files):
            shutil.copyfile(path, Path(name) / f"{number:05d}{path.suffix}")
        copies, folder = sorted(Path(name).iterdir()), Path(name)
        bare(backbone, copies)  # the first call allocates
        turns = [
            (
                seconds(lambda: bare(backbone, copies)),
                seconds(lambda: list(predictions(classifier, folder))),
            )
            for _ in range(TURNS)
        ]
    alone, whole = (np.array(each) for each in zip(*turns, strict=True))
    rates = len(files) / np.median(np.stack([alone, whole]), axis=1)
    return {
        "decoder_and_backbone": round(float(rates[0, 0]), 1),
        "predict": round(float(rates[1, 0]), 1),
        "ratio_of_wall_time": round(float(np.median(alone[:, 0] / whole[:, 0])), 3),
        "ratio_of_processor_time": round(float(np.median(alone[:, 1] / whole[:, 1])), 3),
    }


def differences(classifier: Classifier, backbone: Backbone, files: Sequence[Path]) -> dict[str, object]:
    """Largest differences of a probability from ``aral predict``."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        for number, path in enumerate(files):
            size = LARGE if number == 0 else SIZES[number % len(SIZES)]
            with Image.open(path) as image:
                resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
                resized.save(folder / f"{number:03d}.jpg", quality=92)
        photos = sorted(folder.iterdir())
        expected = np.array([row.probabilities for row in predictions(classifier, folder)])
        features = features_of(backbone, photos)
        squares = [square(backbone, path) for path in photos]
        with torch.autocast("cpu", torch.bfloat16):
            rounded = backbone.features(torch.from_numpy(np.stack(squares))).numpy()
        export_onnx(classifier, Path(name) / "model.onnx", {})
        session = onnxruntime.InferenceSession(Path(name) / "model.onnx", providers=["CPUExecutionProvider"])
        read = snippet_read(classifier.preprocessing.enough)
        graph = np.concatenate(
            [np.asarray(session.run(None, {"pixels": np.asarray(read(path))[None]})[0]) for path in photos]
        )
    found = {
        "graph": graph,
        "bfloat16": classifier.of_features(rounded),
        "float16_cache": classifier.of_features(features.astype(np.float16).astype(np.float32)),
    }
    return {
        name: {
            "largest": round(float(np.abs(each - expected).max()), 5),
            "mean": round(float(np.abs(each - expected).max(axis=1).mean()), 5),
            "other_class": int((each.argmax(1) != expected.argmax(1)).sum()),
        }
        for name, each in found.items()
    }


def snippet_read(enough: tuple[int, int] | None) -> Callable[[Path], Image.Image]:
    """How the Python files of an export read a photo."""
    names: dict[str, object] = {"enough": enough}
    imports = (
        "from contextlib import suppress\nfrom io import BytesIO\nfrom PIL import Image, ImageCms, ImageOps\n"
    )
    exec(imports + READ, names)
    read = names["read"]
    assert callable(read)
    return read


COMPARED = {
    "graph": "exported graph (ONNX), read by the Python file of the export",
    "bfloat16": "features computed in bfloat16",
    "float16_cache": "features rounded to float16, as in a cache",
}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The differences, as Markdown."""
    lines = [
        "| compared with `aral predict` | largest difference | mean | images with another class |",
        "|---|---|---|---|",
    ]
    for row in rows:
        for name, words in COMPARED.items():
            each = row[name]
            cells = f"{each['largest']:.4f} | {each['mean']:.4f} | {each['other_class']} of {row['compared']}"
            lines.append(f"| {words} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and keep one row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="class folders, with train/ and test/")
    parser.add_argument("--images", type=int, default=300, help="images that are predicted")
    parser.add_argument("--compared", type=int, default=60, help="images at odd sizes that are compared")
    given = parser.parse_args()
    torch.set_num_threads(1)
    backbone = efficientnet_lite0()
    classifier = trained(backbone, given.folder)
    files = some_files(given.folder / "test", given.images)
    key = {"folder": given.folder.name, "images": len(files), "backbone": backbone.name}
    values = {
        **speed(classifier, backbone, files),
        "compared": given.compared,
        **differences(classifier, backbone, files[: given.compared]),
    }
    kept = KeptRows("predict-speed")
    kept.keep(key, values)
    print(table(kept.rows))


if __name__ == "__main__":
    main()
