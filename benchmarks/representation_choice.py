"""Whether ``--representation auto`` chooses the better of pixels and the embedded backbone.

    python benchmarks/representation_choice.py --root data --photos data/photos/trash data/photos/sign-digits

Logistic regression with 100 labels drawn at random (ten draws) on oriented gradients, which stand for pixels, and on
the features of the embedded backbone, both standardised by the pool: ``LogisticRegression(C=0.05, max_iter=1000)``.
Only training images are read, at most 2,000 of each set, and a quarter of them is measured on. The choice sees the
other three quarters without their labels. Sets in which size and colour do not decide are made of these: without
colour, enlarged or reduced. Rows: ``representation-choice.json``.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from aral.benchmarking.representation_choice import SAMPLED
from aral.data import load
from aral.data.image_file import Opened
from aral.representations import (
    Backbone,
    FeatureCache,
    ImageArrays,
    ImageFiles,
    Images,
    RepresentationSettings,
    backbone_by_size,
    choose_backbone,
    extract_features,
    make_backbone,
    oriented_gradients,
)
from aral.representations.choice import MARGIN
from aral.representations.settings import EMBEDDED, SIDE_FOR_SMALL_IMAGES
from kept_rows import KeptRows

IMAGES = 2000
LABELS = 100
DRAWS = 10
NAMED = ("digits", "mnist", "fashion-mnist", "cifar10")
CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "": lambda image: image,
    "grey": lambda image: image.convert("L"),
    "96 pixels": lambda image: image.resize((96, 96), Image.Resampling.BICUBIC),
    "16 pixels": lambda image: image.resize((16, 16), Image.Resampling.BICUBIC),
}
CHANGED = {
    "mnist": ["96 pixels"],
    "fashion-mnist": ["96 pixels"],
    "cifar10": ["16 pixels"],
    "photos": ["grey", "16 pixels"],
}


@dataclass(frozen=True)
class Changed:
    """Some images of a set, each changed in the same way."""

    images: Images
    positions: Sequence[int]
    change: str

    def __len__(self) -> int:
        return len(self.positions)

    def name(self, position: int) -> str:
        """As in the set."""
        return self.images.name(self.positions[position])

    def digest(self, position: int) -> str:
        """Of the image as it was, and of the change."""
        found = self.images.digest(self.positions[position])
        return hashlib.sha256(f"{found} {self.change}".encode()).hexdigest() if self.change else found

    def open(self, position: int, enough: tuple[int, int]) -> Opened:
        """The changed image."""
        opened = self.images.open(self.positions[position], (10**6, 10**6) if self.change else enough)
        image = CHANGES[self.change](opened.image)
        size = image.size if self.change.endswith("pixels") else (opened.width, opened.height)
        return Opened(image, *size, opened.format, False, image.mode == "L", opened.notes)


def photographs(folder: Path) -> tuple[Images, np.ndarray]:
    """Files of the training part of a folder, and their classes."""
    files = sorted(path for path in (folder / "train").rglob("*") if path.is_file())
    names = sorted({path.parent.name for path in files})
    classes = np.array([names.index(path.parent.name) for path in files])
    return ImageFiles(folder, [str(path.relative_to(folder)) for path in files]), classes


def named(name: str, root: Path) -> tuple[Images, np.ndarray]:
    """The training images of a data set, and their classes."""
    data = load(name, root)
    return ImageArrays(data.pool.pixels[torch.from_numpy(data.pool.ids)].numpy()), data.pool_classes


def measured(images: Images, classes: np.ndarray, change: str, backbone: Backbone) -> dict[str, object]:
    """The choice, and the accuracy on either representation."""
    kept = np.random.default_rng(7).permutation(len(classes))[:IMAGES]
    images, classes = Changed(images, kept.tolist(), change), classes[kept]
    quarter = len(kept) // 4
    pool = Changed(images.images, images.positions[quarter:], change)
    with FeatureCache.of(backbone) as cache:
        choice = choose_backbone(pool, backbone, cache, SAMPLED)
        facts = choice.facts
        assert facts is not None
        found = extract_features(images, backbone, cache)
        features = cache.rows(found.rows(range(len(images))))
    side = max(8, min(64, facts.side))
    squares = [
        images.open(position, (10**6, 10**6))
        .image.convert("RGB")
        .resize((side, side), Image.Resampling.BILINEAR)
        for position in range(len(images))
    ]
    pixels = torch.from_numpy(
        np.stack([np.asarray(each) for each in squares]).transpose(0, 3, 1, 2) / np.float32(255)
    )
    gradients = torch.cat([oriented_gradients(part) for part in pixels.split(500)]).numpy()
    return {
        "images": len(pool),
        "measured_on": quarter,
        "side": facts.side,
        "colour": facts.channels == 3,
        "compared": facts.images,
        "by_size": backbone_by_size(facts.side, facts.channels),
        "agreement": {"pixels": round(facts.pixels or 0, 4), "backbone": round(facts.backbone or 0, 4)},
        "chosen": choice.backbone,
        "pixels": accuracies(gradients, classes, quarter),
        "backbone": accuracies(features, classes, quarter),
    }


def accuracies(vectors: np.ndarray, classes: np.ndarray, quarter: int) -> list[float]:
    """Of logistic regression on the first quarter, with labels of the others, one number a draw."""
    pool = vectors[quarter:]
    vectors = (vectors - pool.mean(axis=0)) / np.where(pool.std(axis=0) > 1e-6, pool.std(axis=0), 1.0)
    found = []
    for draw in range(DRAWS):
        chosen = quarter + np.random.default_rng(draw).permutation(len(pool))[:LABELS]
        model = LogisticRegression(C=0.05, max_iter=1000).fit(vectors[chosen], classes[chosen])
        found.append(round(float(model.score(vectors[:quarter], classes[:quarter])), 4))
    return found


def main() -> None:
    """Measure what is not there yet, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, required=True, help="folder with the .npz files of named data sets"
    )
    parser.add_argument("--backbone", default=EMBEDDED, help=f"default: {EMBEDDED}")
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="folders with train/CLASS/FILE")
    given = parser.parse_args()
    kept = KeptRows("representation-choice")
    for source in (*NAMED, *given.photos):
        small = isinstance(source, str)
        title = source if isinstance(source, str) else source.name
        for change in ("", *CHANGED.get(title if small else "photos", ())):
            key = {"set": title, "change": change, "name": given.backbone}
            if kept.has(key):
                continue
            images, classes = named(source, given.root) if isinstance(source, str) else photographs(source)
            side = SIDE_FOR_SMALL_IMAGES if small and change != "96 pixels" else None
            backbone = make_backbone(RepresentationSettings(backbone=given.backbone, side=side))
            kept.keep(key, measured(images, classes, change, backbone))
    print(table([row for row in kept.rows if row["name"] == given.backbone]))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Agreement and accuracy in percent, and what today's rule chooses by what, as Markdown."""
    lines = [
        "| images | side | agreement: pixels | backbone | accuracy: pixels | backbone | auto | decided by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        title = f"{row['set']}, {row['change']}" if row["change"] else row["set"]
        shares = [f"{100 * row['agreement'][name]:.0f}" for name in ("pixels", "backbone")]
        cells = [
            f"{each.mean():.1f} ± {each.std(ddof=1):.1f}"
            for each in (100 * np.array(row[name]) for name in ("pixels", "backbone"))
        ]
        means = {name: np.mean(row[name]) for name in ("pixels", "backbone")}
        lead = row["agreement"]["pixels"] - row["agreement"]["backbone"]
        by_size = row["by_size"]
        reads_pixels = lead > MARGIN if by_size is None else by_size == "pixels"
        chosen = "pixels" if reads_pixels else "backbone"
        verdict = chosen if means[chosen] == max(means.values()) else f"{chosen} (errs)"
        by = "agreement" if row["by_size"] is None else "size, colour"
        lines.append(f"| {' | '.join([title, str(row['side']), *shares, *cells, verdict, by])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
