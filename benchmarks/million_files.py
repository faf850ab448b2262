"""One folder of very many small images: imported, labelled, trained on and exported; seconds and memory of each part.

    python benchmarks/million_files.py --images 1000000 --folder /data/million
    python benchmarks/million_files.py --images 100000 --folder /data/photographs --photographs data/photos/trash/train

The folder is written once, with a thousand images a sub-folder: varied 8×8 digits as JPEG files of 28×28 pixels; with
``--photographs`` random crops of three quarters and more of photographs that are there, mirrored or not, 256×192. Each
part is a process of its own, whose most resident memory is kept: ``import`` reads the files, ``train`` gives answers as
a person does and trains the project beside them, until the budget is spent and the features of all images are in the
cache (representation ``gradients`` for digits: a pretrained backbone would need hours of a processor; the default for
photographs), ``export`` writes labels, predictions and classifier. A part that is done is not repeated. Rows go to
results/million-files.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from kept_rows import KeptRows
from photo_folders import varied_digits

PARTS = ("import", "train", "export")
A_FOLDER = 1000
SIZE = (256, 192)


def crops(photographs: Path, images: int) -> Iterator[tuple[Image.Image, str]]:
    """Random parts of photographs in folders of classes, each with its class."""
    files = sorted(path for path in photographs.rglob("*") if path.is_file())
    random = np.random.default_rng(0)
    for _ in range(images):
        path = files[int(random.integers(len(files)))]
        with Image.open(path) as opened:
            share, (right, down, mirrored) = random.uniform(0.75, 1.0), random.uniform(size=3)
            width, height = (share * side for side in opened.size)
            left, top = right * (opened.width - width), down * (opened.height - height)
            image = opened.convert("RGB").resize(SIZE, box=(left, top, left + width, top + height))
        yield ImageOps.mirror(image) if mirrored < 0.5 else image, path.parent.name


def write_folder(folder: Path, images: int, photographs: Path | None) -> None:
    """The images and their classes; nothing if they are there."""
    done = folder / "written.json"
    if done.exists():
        return
    place = folder / "photos"
    digits = ((Image.fromarray(pixels), name) for pixels, name in varied_digits(images, 0))
    made = crops(photographs, images) if photographs else digits
    for number, (image, name) in enumerate(made):
        inner = place / f"{number // A_FOLDER:04d}"
        if number % A_FOLDER == 0:
            inner.mkdir(parents=True, exist_ok=True)
        image.save(inner / f"{number:07d}-{name}.jpg", quality=90)
    classes = sorted(path.name for path in photographs.iterdir()) if photographs else list("0123456789")
    done.write_text(json.dumps({"images": images, "classes": classes}))


def class_names(photos: Path) -> tuple[str, ...]:
    """The classes of a folder that was written."""
    return tuple(json.loads((photos.parent / "written.json").read_text())["classes"])


def import_files(photos: Path, budget: int) -> dict[str, object]:
    """Make the project and read every file."""
    from aral.annotation import Project

    with Project.create_or_open(photos, class_names=class_names(photos), budget=budget) as project:
        project.images.sync()
        return {"images": project.images.count(), "unreadable": len(project.images.unreadable())}


def features_kept(project_folder: Path) -> int:
    """How many images have features already: of a part that was stopped before."""
    found = 0
    for path in (project_folder / "features").glob("*/index.sqlite"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as index:
            found += index.execute("SELECT count(*) FROM features").fetchone()[0]
    return found


def train(photos: Path, budget: int) -> dict[str, object]:
    """Answer what is asked, as soon as it is asked, and train after it, until the budget is spent."""
    from aral.annotation import Project, Trainer, TrainingOptions
    from aral.representations.settings import EMBEDDED
    from aral.testing import answer_event

    names = class_names(photos)
    representation = "gradients" if names[0] == "0" else EMBEDDED
    with Project.open(photos) as project:
        kept = features_kept(project.folder)
        trainer = Trainer(project, TrainingOptions(representation=representation, threads=1))
        begun, first_model, answered = time.monotonic(), None, 0
        for _ in count():
            busy = trainer.turn()
            if first_model is None and project.models.newest_number():
                first_model = time.monotonic() - begun
            cards = project.queue.next_cards("Ann", 10, fresh=True) if project.queue.remaining() else []
            cards = cards[: budget - answered]
            if cards:
                truth = [names.index(Path(each.name).stem.partition("-")[2]) for each in cards]
                events = [answer_event(c.image_id, y, "Ann") for c, y in zip(cards, truth, strict=True)]
                project.annotations.append_many(events)
                answered += len(events)
            reading = project.models.training_state().phase == "reading"
            if not busy and not cards and not reading:
                break
            if not busy:
                time.sleep(0.1)
        trainer.close()
        newest = project.models.newest()
        assert newest is not None
        return {
            "answers": answered,
            "features kept from before": kept,
            "models": newest.number,
            "first model, seconds": None if first_model is None else round(first_model, 1),
            "accuracy": None if newest.estimate is None else newest.estimate.accuracy,
        }


def export(photos: Path, budget: int) -> dict[str, object]:
    """``aral export`` of everything."""
    target = photos.parent / "out"
    subprocess.run([sys.executable, "-m", "aral", "export", str(photos), str(target)], check=True)
    return {"megabytes": round(sum(path.stat().st_size for path in target.rglob("*")) / 2**20, 1)}


def run_part(part: str, photos: Path, budget: int) -> None:
    """In a process of its own: do it, and print its figures as JSON."""
    begun = time.monotonic()
    found = {"import": import_files, "train": train, "export": export}[part](photos, budget)
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    values = {
        "seconds": round(time.monotonic() - begun, 1),
        "processor seconds": round(sum(each.ru_utime + each.ru_stime for each in (own, children)), 1),
        "megabytes resident": round(max(own.ru_maxrss, children.ru_maxrss) / 1024),
    }
    print(json.dumps({**values, **found}))


def main() -> None:
    """Write the folder, then each part that has no row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True, help="gets the images and the project")
    parser.add_argument("--photographs", type=Path, help="folders of classes to make images of")
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--kept", default="million-files", help="name of the file of rows, or a .json path")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    photos = given.folder / "photos"
    if given.part:
        run_part(given.part, photos, given.budget)
        return
    rows = KeptRows(given.kept)
    write_folder(given.folder, given.images, given.photographs)
    what = "photographs" if given.photographs else "digits"
    for part in PARTS:
        key = {"images": given.images, "what": what, "part": part}
        if not rows.has(key):
            words = [sys.executable, __file__, "--part", part, "--folder", str(given.folder)]
            found = subprocess.run(
                [*words, f"--budget={given.budget}"], check=True, stdout=subprocess.PIPE, text=True
            )
            rows.keep(key, json.loads(found.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
