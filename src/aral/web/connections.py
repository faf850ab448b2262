"""The server's connections: how many there are, how long each may take, and how one ends.

uvicorn alone waits for a request for ever, accepts connections until the process has no file descriptor left, and
closes a connection while the client is still sending, so that the client sees a reset instead of the response.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from aral.web import responses

log = logging.getLogger(__name__)

ACCEPTED_AT_ONCE = 8
"""Connections that are accepted before those at hand are looked at; more could use up all file descriptors."""

WAITING = 256
"""Connections that the operating system keeps until they are accepted."""

RESERVED_FILES = 48
"""File descriptors that are left for images, the database and what is accepted at once."""

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class OncePerMinute(logging.Filter):
    """Passes a message once a minute, however often it is logged.

    Args:
        seconds: how long the same message is held back.
        clock: gives seconds that never run backwards.
    """

    def __init__(self, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._logged: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the message is logged; errors of the program always are."""
        if record.levelno > logging.WARNING:
            return True
        now = self._clock()
        if now - self._logged.get(str(record.msg), -self._seconds) < self._seconds:
            return False
        self._logged[str(record.msg)] = now
        return True


def connections_for_files(most: int = 256) -> int:
    """How many connections there may be, so that file descriptors are left for everything else."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return most
    folder = Path("/dev/fd")
    used = sum(1 for _ in folder.iterdir()) if folder.is_dir() else 32
    return max(4, min(most, limit - used - RESERVED_FILES))


@dataclass(frozen=True)
class Limits:
    """The limits of a server's connections.

    Attributes:
        connections: how many there may be. One more ends the oldest that waits for a request.
        head_seconds: from the first byte of a request, or from the start of the connection, to the end of its head.
        body_seconds: from there to the end of its body.
        reading_seconds: how long a client may leave a response unread.
        linger_seconds: how long the rest of a request is read, and dropped, after its response.
        linger_bytes: how much of it.
    """

    connections: int = field(default_factory=connections_for_files)
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    reading_seconds: float = 60.0
    linger_seconds: float = 5.0
    linger_bytes: int = 1 << 28


class LingeringTransport(asyncio.Transport):
    """A transport that is closed only after the client has sent the rest of its request, within limits.

    A connection that is closed with unread data is reset, and the client loses the response (RFC 9112, 9.6).

    Args:
        transport: of the connection.
        limits: how long it lingers, and how much it reads.
        is_unread: whether the client may still be sending.
    """

    def __init__(self, transport: asyncio.Transport, limits: Limits, is_unread: Callable[[], bool]) -> None:
        super().__init__()
        self._transport = transport
        self._limits = limits
        self._is_unread = is_unread
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_lingering(self) -> bool:
        """Whether everything that arrives is dropped."""
        return self._timer is not None

    def drop(self, size: int) -> None:
        """Count what was received while lingering."""
        self._dropped += size
        if self._dropped > self._limits.linger_bytes:
            self.abort()

    def close(self) -> None:
        """Send what is written, then close, at once or after lingering."""
        if self.is_closing():
            return
        if not self._is_unread():
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._limits.linger_seconds, self.abort)

    def abort(self) -> None:
        """Close at once."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self.is_lingering or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """As of the transport."""
        self._transport.write(data)

    def pause_reading(self) -> None:
        """As of the transport."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """As of the transport."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As of the transport."""
        return self._transport.get_extra_info(name, default)


class BoundedFlow(FlowControl):
    """Reads no more requests of a connection while many of them wait for their response.

    Args:
        transport: of the connection.
        connection: its protocol.
    """

    def __init__(self, transport: asyncio.Transport, connection: h11.Connection) -> None:
        super().__init__(transport)
        self._connection = connection

    def resume_reading(self) -> None:
        """Read again, unless enough was read."""
        if (
            self._connection.their_state is h11.DONE
            and len(self._connection.trailing_data[0]) > HIGH_WATER_LIMIT
        ):
            return
        super().resume_reading()


class LimitedConnection(H11Protocol):
    """A connection that ends when it takes too long, or when there are too many; see :class:`Limits`."""

    limits: ClassVar[Limits]

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._lingering: LingeringTransport
        self._ended = False
        self._state = "head"
        self._since = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room if there are too many connections, or refuse this one."""
        self._lingering = LingeringTransport(transport, self.limits, self._is_unread)
        super().connection_made(self._lingering)
        self.flow = BoundedFlow(self._lingering, self.conn)
        if not self._make_room():
            transport.write(
                b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n"
            )
            self._ended = True
            transport.close()
            return
        self._start_timer("head", self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._ended = True
        for timer in self._timers.values():
            timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle what the client sent; dropped once the connection is ending."""
        if self._lingering.is_lingering:
            self._lingering.drop(len(data))
            return
        super().data_received(data)
        self._note_state()

    def on_response_complete(self) -> None:
        """Wait for the next request; a connection on which the client still sends an old one is closed."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and self.conn.our_state is not h11.SEND_RESPONSE:
            self._lingering.close()
        self._note_state()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._start_timer("reading", self.limits.reading_seconds)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._stop_timer("reading")

    def _is_unread(self) -> bool:
        """Whether the client may still be sending a request."""
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _note_state(self) -> None:
        """What the connection waits for: a head, a body, or a response; and the time that is left for it."""
        if self._lingering.is_closing():
            state = "closing"
        elif self.cycle is None or self.cycle.response_complete:
            state = "head" if self.cycle is None or self.conn.trailing_data[0] else "idle"
        else:
            state = "body" if self.cycle.more_body else "response"
        if state == self._state:
            return
        self._state, self._since = state, time.monotonic()
        for name in ("head", "body"):
            self._stop_timer(name)
        if state in ("head", "body"):
            seconds = self.limits.head_seconds if state == "head" else self.limits.body_seconds
            self._start_timer(state, seconds)

    def _start_timer(self, name: str, seconds: float) -> None:
        self._stop_timer(name)
        self._timers[name] = self.loop.call_later(seconds, self._end)

    def _stop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _end(self) -> None:
        self._ended = True
        self._lingering.abort()

    def _make_room(self) -> bool:
        """End the oldest connection that waits for a request when there are too many; False if none does."""
        others = [
            each
            for each in self.connections
            if isinstance(each, LimitedConnection) and each is not self and not each._ended
        ]
        if len(others) < self.limits.connections:
            return True
        log.warning(
            "There are %d connections, the most that there may be; the oldest are closed.", len(others)
        )
        for state in ("head", "closing", "idle", "body"):
            waiting = [each for each in others if each._state == state]
            if waiting:
                min(waiting, key=lambda each: each._since)._end()
                return True
        return False


class LimitedServer(uvicorn.Server):
    """A uvicorn server that logs once a minute when no file descriptor is left, and never a traceback for it."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        asyncio.get_running_loop().set_exception_handler(_log_loop_error)
        await super().startup(sockets)
        for each in sockets or ():
            each.listen(WAITING)  # uvicorn uses one number for this and for how many are accepted at once


def limited_server(app: Any, limits: Limits | None = None, **options: Any) -> LimitedServer:
    """A server of an application.

    Args:
        app: an ASGI application.
        limits: of its connections; None for the default.
        options: of ``uvicorn.Config``.
    """
    connection = type("Connection", (LimitedConnection,), {"limits": limits or Limits()})
    for logger in (log, responses.log, logging.getLogger("uvicorn.error")):
        if not any(isinstance(each, OncePerMinute) for each in logger.filters):
            logger.addFilter(OncePerMinute())
    return LimitedServer(uvicorn.Config(app, http=connection, ws="none", backlog=ACCEPTED_AT_ONCE, **options))


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that no task handles."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES:
        log.warning("No connection can be accepted for now: too many files are open (ulimit -n).")
        return
    loop.default_exception_handler(context)
