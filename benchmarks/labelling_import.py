"""Importing a folder and starting on it: seconds, memory, and how long until the first image and the page.

    python benchmarks/labelling_import.py            # 10,000 small JPEG files
    python benchmarks/labelling_import.py --large    # 500 of 12 megapixels

Runs ``aral label`` without its trainer on a folder that was written a moment ago, so the files lie in memory: a
disk that is slower than the decoder adds its own time. Then ends it and starts it again on the finished import.
Times count from the start of the command. Rows go to results/labelling-import.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from aral.annotation import Project
from kept_rows import KeptRows
from label_server import OPENED, LabelServer
from page_client import Page
from photo_folders import write_digits, write_photographs

OPTIONS = ("--classes", "0,1,2,3,4,5,6,7,8,9", "--no-train")
IMPORTED = "could not be read"
HOUR = 3600.0
MEGABYTE = 2**20


def main() -> None:
    """Write, import, start again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, help="default: 10000, or 500 large ones")
    parser.add_argument("--large", action="store_true", help="12 megapixels each")
    parser.add_argument("--starts", type=int, default=5, help="on the finished import")
    parser.add_argument(
        "--kept", default="labelling-import", help="name of the file of rows, or a .json path"
    )
    chosen = parser.parse_args()
    images = chosen.images or (500 if chosen.large else 10_000)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        photos = Path(folder) / "photos"
        if chosen.large:
            write_photographs(photos, images)
        else:
            write_digits(photos, images, 0)
        values = {"bytes": sum(file.stat().st_size for file in photos.iterdir()), **measure(photos)}
        values |= again(photos, chosen.starts)
        with Project.open(photos) as project:
            values |= {"readable": project.images.count(), "unreadable": len(project.images.unreadable())}
    KeptRows(chosen.kept).keep({"images": images, "large": chosen.large}, values)


def measure(photos: Path) -> dict[str, Any]:
    """The first start, with the import."""
    server = LabelServer(photos, OPTIONS)
    ready = server.start()
    begun = time.monotonic()
    at_ready = server.most_memory()
    page = Page(server.another_browser(), "Ann")
    while not page.cards:
        page.refill()
    first_cards = ready + time.monotonic() - begun
    at, line = server.said(IMPORTED, HOUR)
    seconds = at - server.said(OPENED)[0]  # the import begins when the page is open
    count = int(line.split()[0])
    kept = [path.stat().st_size for path in (photos / ".aral").rglob("*") if path.is_file()]
    most = server.most_memory()
    code = server.stop()
    return {
        "ready_seconds": round(ready, 2),
        "first_cards_seconds": round(first_cards, 2),
        "import_seconds": round(seconds, 2),
        "images_per_second": round(count / seconds, 1),
        "memory_before_megabytes": round(at_ready / MEGABYTE),
        "peak_memory_megabytes": round(most / MEGABYTE),
        "project_megabytes": round(sum(kept) / MEGABYTE, 1),
        "exit_code": code,
    }


def again(photos: Path, starts: int) -> dict[str, Any]:
    """Starts on the finished import."""
    ready, cards, looked = [], [], []
    for _ in range(starts):
        server = LabelServer(photos, OPTIONS)
        ready.append(server.start())
        begun = time.monotonic()
        page = Page(server.another_browser(), "Ann")
        page.refill()
        assert page.cards, "a finished import has cards at once"
        cards.append(ready[-1] + time.monotonic() - begun)
        looked.append(server.said(IMPORTED, HOUR)[0] - server.said(OPENED)[0])
        server.stop()
    return {
        "again_ready_seconds": [round(each, 2) for each in ready],
        "again_first_cards_seconds": [round(each, 2) for each in cards],
        "again_look_at_folder_seconds": [round(each, 2) for each in looked],
    }


if __name__ == "__main__":
    main()
