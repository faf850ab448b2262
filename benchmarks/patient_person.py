"""A person who answers what is asked, waits while the model learns, and stops when the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from page_client import Page

LOOK_SECONDS = 0.5
CALM_LOOKS = 6
"""The trainer is at rest when it was so often seen idle in a row."""

STALLED_SECONDS = 60.0
"""When nothing is asked for so long, the person goes on with what the page shows anyway."""

WORKING = ("training", "choosing")


class PatientPerson:
    """Works on one page until the budget is spent and the last training is over.

    Args:
        page: their tab.
        truth: class id by file name.
        budget: labels in all.
        patience: seconds without any progress after which something must be wrong.
    """

    def __init__(self, page: Page, truth: Mapping[str, int], budget: int, patience: float = 3600.0) -> None:
        self._page = page
        self._truth = truth
        self._budget = budget
        self._patience = patience
        self._progress: tuple[object, ...] = ()
        self._since = time.monotonic()
        self.waited_seconds = 0.0
        self.impatient_answers = 0

    def work(self) -> Any:
        """Label; gives the last status.

        Raises:
            RuntimeError: the trainer failed or does not get on.
        """
        calm = 0
        while True:
            status = self._look()
            spent = status["counts"]["labelled"] >= self._budget
            if status["training"]["phase"] in WORKING:
                calm = 0
            elif not spent and status["queue_left"]:
                self._answer_query()
                calm = 0
                continue
            else:
                calm += 1
            if spent and calm >= CALM_LOOKS:
                return status
            if (
                not spent
                and time.monotonic() - self._since > STALLED_SECONDS
                and not self._is_working(status)
            ):
                self._answer()
                self.impatient_answers += 1
            time.sleep(LOOK_SECONDS)
            self.waited_seconds += LOOK_SECONDS

    def _answer_query(self) -> None:
        """Answer, one image after the other, until nothing of the query is open."""
        status = self._look()
        while status["queue_left"] and status["counts"]["labelled"] < self._budget:
            self._answer()
            status = self._look()

    def _answer(self) -> None:
        self._page.refill()
        if not self._page.cards:
            raise RuntimeError("the page has no images left")
        self._page.give("class", self._truth[self._page.cards[0]["name"]])
        self._page.send()

    def _look(self) -> Any:
        """The status, after a check that something moves."""
        status = self._page.status()
        training = status["training"]
        if training["phase"] == "failed":
            raise RuntimeError(f"the trainer failed: {training['message']}")
        progress = (status["counts"]["labelled"], status["model"], status["queue_left"], training["fraction"])
        if progress != self._progress:
            self._progress, self._since = progress, time.monotonic()
        if time.monotonic() - self._since > self._patience:
            raise RuntimeError(f"nothing moves: {status}")
        return status

    @staticmethod
    def _is_working(status: Mapping[str, Any]) -> bool:
        return status["training"]["phase"] in WORKING
