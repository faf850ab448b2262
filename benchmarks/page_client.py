"""The labelling page without a browser: its requests, its cards ahead, its outbox until all is saved."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

AHEAD, LOW, KEPT = 12, 9, 2
"""Cards asked for, how few are left when more are asked for, and how many stay after the first when there is a newer
query; as in ``deck.js``."""

BATCH = 50
"""Answers in a request; as in ``outbox.js``."""

PATIENCE_SECONDS = 20.0
ELSEWHERE_SECONDS = 60.0
LOCKED = b"database is locked"


class Unreachable(Exception):
    """The server does not answer, or not to the end."""


class Browser:
    """A connection with the cookie, and the headers by which a browser tells that the page is asking.

    Args:
        link: as ``aral label`` prints it; works once.

    Raises:
        Unreachable: nobody answers.
        RuntimeError: the link is refused.
    """

    def __init__(self, link: str) -> None:
        parts = urlsplit(link)
        self.port = parts.port
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)
        self._cookie = ""
        self.statuses: Counter[int] = Counter()
        self.locked = 0
        self._shut_out_since = 0.0
        status, headers, _ = self._ask("GET", f"/?{parts.query}", None, "none")
        if status != 200:
            raise RuntimeError(f"the link is refused: {status}")
        self._cookie = headers["set-cookie"].partition(";")[0]

    def get(self, path: str, **query: object) -> Any:
        """JSON of a GET; see :meth:`post`."""
        return self._json("GET", f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """JSON of a POST.

        Raises:
            Unreachable: no answer, one that asks to try again later (5xx), or that of another project (401).
            RuntimeError: the request is refused.
        """
        return self._json("POST", path, json.dumps(body).encode("ascii"))

    def picture(self, path: str) -> bytes:
        """Bytes of a picture."""
        return self._checked("GET", path, None, "image/avif,image/*")

    def another_link(self) -> str:
        """A link for somebody else."""
        return f"{self._origin}{self.post('/api/link', {})['path']}"

    def _json(self, method: str, path: str, body: bytes | None) -> Any:
        return json.loads(self._checked(method, path, body, "application/json"))

    def _checked(self, method: str, path: str, body: bytes | None, accept: str) -> bytes:
        status, _, answer = self._ask(method, path, body, "same-origin", accept)
        self.statuses[status] += 1
        self.locked += LOCKED in answer
        # On the port of a server that was killed there may be that of another project for a while.
        self._shut_out_since = (self._shut_out_since or time.monotonic()) if status == 401 else 0.0
        is_elsewhere = status == 401 and time.monotonic() - self._shut_out_since < ELSEWHERE_SECONDS
        if status >= 500 or is_elsewhere:
            raise Unreachable(f"{method} {path}: {status} {answer[:200]!r}")
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer[:200]!r}")
        return answer

    def _ask(
        self, method: str, path: str, body: bytes | None, site: str, accept: str = "text/html"
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept": accept, "Sec-Fetch-Site": site, "Cookie": self._cookie}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Origin": self._origin}
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next request opens it again
            raise Unreachable(f"{method} {path}: {error!r}") from error


Event = dict[str, Any]
"""An answer as the page sends it."""


@dataclass
class Page:
    """One person's tab.

    Attributes:
        browser: its connection.
        annotator: the person's name.
        tab: name of the tab.
        ahead: how many cards it asks for.
        cards: what it shows next, the first now.
        outbox: given and not yet acknowledged, the oldest first.
        given: every event, in order.
        names: file name by image, as it was on the screen.
        acknowledged: keys of which the server has said that they are saved.
        refused: keys that the server will never save.
        repeated: how many of them had been saved before the request that was answered.
        waits: seconds of each request of answers.
    """

    browser: Browser
    annotator: str
    tab: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    ahead: int = AHEAD
    cards: deque[dict[str, Any]] = field(default_factory=deque)
    outbox: list[Event] = field(default_factory=list)
    given: list[Event] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    repeated: int = 0
    waits: list[float] = field(default_factory=list)

    def renew(self) -> None:
        """There is a newer query: keep the cards that are shown next, give the others back and ask anew."""
        while len(self.cards) > 1 + KEPT:
            self.cards.pop()
        self.refill(fresh=True)

    def refill(self, fresh: bool = False) -> None:
        """Ask for cards when few are left, and fetch their pictures."""
        if len(self.cards) > min(LOW, self.ahead - 1):
            return
        busy = {event["image_id"] for event in self.outbox} | {card["image_id"] for card in self.cards}
        found = self.browser.get(
            "/api/next",
            annotator=self.annotator,
            count=self.ahead - len(self.cards),
            holding=",".join(map(str, sorted(busy))),
            tab=self.tab,
            fresh=fresh,
        )
        new = [card for card in found["cards"] if card["image_id"] not in busy]
        self.cards.extend(new)
        self.names |= {card["image_id"]: card["name"] for card in new}
        for card in new:
            self.browser.picture(card["thumbnail"])

    def give(self, action: str, class_id: int | None = None) -> Event:
        """Answer the first card: it lies in the outbox, and the next card is shown."""
        card = self.cards.popleft()
        return self._keep(card["image_id"], action, class_id)

    def undo(self, image_id: int) -> Event:
        """Take back the answer to an image, and forget that it was on the screen."""
        return self._keep(image_id, "undo", None)

    def _keep(self, image_id: int, action: str, class_id: int | None) -> Event:
        event: Event = {
            "key": str(uuid.uuid4()),
            "image_id": image_id,
            "annotator": self.annotator,
            "action": action,
            "class_id": class_id,
            "suggestion_shown": False,
            "seconds": 1.0,
        }
        self.outbox.append(event)
        self.given.append(event)
        return event

    def send(self) -> None:
        """Send what waits, until nothing does.

        Raises:
            Unreachable: the server is gone or in trouble; everything not acknowledged still waits.
        """
        while self.outbox:
            begin = time.perf_counter()
            answer = self.browser.post("/api/answers", {"events": self.outbox[:BATCH]})
            self.waits.append(time.perf_counter() - begin)
            saved = {receipt["key"] for receipt in answer["receipts"]}
            refused = {each["key"] for each in answer["refused"]}
            self.repeated += sum(receipt["repeated"] for receipt in answer["receipts"])
            self.acknowledged |= saved
            self.refused |= refused
            if not saved | refused:
                raise RuntimeError("the server acknowledged no answer")
            self.outbox = [event for event in self.outbox if event["key"] not in saved | refused]

    def status(self) -> Any:
        """What the page asks for every two seconds."""
        return self.browser.get("/api/status", annotator=self.annotator)
