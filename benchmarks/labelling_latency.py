"""How long a person waits: from the key to the next image on the screen, with 24-megapixel originals.

    python benchmarks/labelling_latency.py --presses 100

Writes photographs of 6000 × 4000 pixels, imports them, opens the page in Chromium and presses class keys at
a steady pace. Two clocks are read for each press: the page's own, from the time stamp of the key event to
the first task after the frame that shows the next image, and the browser's Event Timing, from the same time
stamp to the presentation of that frame in steps of 8 ms. The row goes to labelling-latency.json.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from aral.annotation import Project
from aral.web import served
from kept_rows import KeptRows

SIZE = (6000, 4000)
PICTURES = 6
SPARE = 12

WATCH = """
window.waits_ = [];
window.presented_ = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (entry.name === "keydown") window.presented_.push(entry.duration);
}).observe({ type: "event", durationThreshold: 16, buffered: true });
addEventListener("keydown", (event) => {
  const source = () => document.querySelector("#frame img")?.src;
  const before = source();
  const look = () => {
    const now = source();
    if (now === undefined || now === before) return void requestAnimationFrame(look);
    const channel = new MessageChannel();
    channel.port1.onmessage = () => window.waits_.push(performance.now() - event.timeStamp);
    channel.port2.postMessage(null);
  };
  requestAnimationFrame(look);
}, true);
"""


def main() -> None:
    """Measure and keep the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--presses", type=int, default=100, help="how many keys; 500 for the figure of record"
    )
    parser.add_argument("--pause", type=float, default=0.15, help="seconds between two keys")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        write_photographs(photos, chosen.presses + SPARE)
        with Project.create_or_open(photos, class_names=("one", "two", "three")) as project:
            begin = time.perf_counter()
            project.images.sync()
            seconds = time.perf_counter() - begin
            row = measure(project, chosen.presses, chosen.pause)
    key = {"presses": chosen.presses, "pause": chosen.pause}
    found = {"images": chosen.presses + SPARE, "import_seconds": round(seconds, 1), **row}
    KeptRows("labelling-latency").keep(key, found)


def write_photographs(folder: Path, count: int) -> None:
    """Files of 24 megapixels, each with bytes of its own: few pictures, told apart by a comment."""
    folder.mkdir(parents=True)
    for picture in range(PICTURES):
        coarse = np.random.default_rng(picture).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        large = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
        jpeg = BytesIO()
        large.save(jpeg, "JPEG", quality=88)
        start, rest = jpeg.getvalue()[:2], jpeg.getvalue()[2:]
        for number in range(picture, count, PICTURES):
            comment = f"photograph {number}".encode()
            segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
            (folder / f"DSC_{number:05d}.jpg").write_bytes(start + segment + rest)


def measure(project: Project, presses: int, pause: float) -> dict[str, object]:
    """Press keys on the page of a project."""
    path = shutil.which("chromium")
    with served(project, port=0) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script(WATCH)
        page.goto(server.link())
        page.wait_for_selector("#stage[data-shown]")
        page.wait_for_timeout(1500)
        missed = press_keys(page, presses, pause)
        waits = np.array(page.evaluate("window.waits_"))
        presented = np.array(page.evaluate("window.presented_"))
        browser.close()
    return {
        "presses": presses,
        "answers": len(project.annotations.history(project.annotators.all()[0].name, count=10 * presses)),
        "waited_for_an_image": missed,
        "p50_ms": round(float(np.percentile(waits, 50)), 1),
        "p95_ms": round(float(np.percentile(waits, 95)), 1),
        "max_ms": round(float(waits.max()), 1),
        # Keys presented within 16 ms are not reported one by one.
        "event_timing_p95_ms": float(
            np.percentile(np.r_[presented, [16.0] * (presses - len(presented))], 95)
        ),
    }


def press_keys(page: Page, presses: int, pause: float) -> int:
    """Press keys at a steady pace; gives how often the next image was not there in time."""
    missed = 0
    for number in range(presses):
        if page.get_attribute("#stage", "data-shown") is None:
            missed += 1
            page.wait_for_selector("#stage[data-shown]")
        page.keyboard.press("123"[number % 3])
        page.wait_for_timeout(1000 * pause)
    page.wait_for_selector("#unsaved[data-waiting='0']", state="attached")
    return missed


if __name__ == "__main__":
    main()
