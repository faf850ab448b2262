"""``aral label`` in a process of its own, started, killed and ended as people and accidents do it."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from page_client import Browser

OPENED = "The page is open at "
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.005


class LabelServer:
    """The command on a folder of photos; it may be started many times.

    Args:
        photos: the folder.
        options: of ``aral label``, besides ``--no-browser``.
    """

    def __init__(self, photos: Path, options: Sequence[str] = ()) -> None:
        self._command = [sys.executable, "-m", "aral", "label", str(photos), "--no-browser", *options]
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._news: list[tuple[float, str]] = []
        self._begun = 0.0
        self.output: list[str] = []
        self.browser: Browser | None = None
        atexit.register(self._end)  # a script that fails leaves no server behind

    @property
    def command(self) -> str:
        """As people type it."""
        return " ".join(["aral", *self._command[3:]])

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> float:
        """Start it and wait until its page opens; gives the seconds that took.

        Raises:
            RuntimeError: it ended, or says nothing for two minutes.
        """
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._news.clear()
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        _, line = self.said(OPENED)
        self.browser = Browser(line.removeprefix(OPENED).strip())
        return time.monotonic() - self._begun

    def another_browser(self) -> Browser:
        """A page of its own for somebody else, opened by a link of its own."""
        assert self.browser is not None
        return Browser(self.browser.another_link())

    def said(self, words: str, patience: float = PATIENCE_SECONDS) -> tuple[float, str]:
        """Wait for a line with these words since the start; gives seconds after the start, and the line.

        Raises:
            RuntimeError: the process ended without it, or the patience did.
        """
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            ended = self._process is None or self._process.poll() is not None
            for at, line in list(self._news):
                if words in line:
                    return at - self._begun, line
            if ended:
                break
            time.sleep(LOOK_SECONDS)
        raise RuntimeError(f"'{self.command}' did not say '{words}': {''.join(self.output[-20:])}")

    def kill(self) -> None:
        """SIGKILL: no line of its code runs any more. Its trainer ends when it notices."""
        assert self._process is not None and self._reader is not None
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def stop(self) -> int:
        """Ctrl+C; gives the exit code."""
        assert self._process is not None and self._reader is not None
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(PATIENCE_SECONDS)
        self._reader.join()
        return code

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def most_memory(self) -> int:
        """The most memory that the running process has had at once, in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
        raise RuntimeError("this system does not tell the memory of a process")

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._news.append((time.monotonic(), line))
            self.output.append(line)
