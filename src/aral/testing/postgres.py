"""A Postgres server for tests, in a temporary folder, reached through a socket in it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

PROGRAMS = Path("/usr/lib/postgresql")
"""Where Debian's packages have each version's programs, outside of the search path."""

START_SECONDS = 30.0
OWNER, STRICT_USER, STRICT_PASSWORD = "owner", "strict", "a password"
"""The role that may do everything; a role that has to give a password, and that password."""

_SETTINGS = """
listen_addresses = ''
max_connections = 60
shared_buffers = 16MB
wal_level = minimal
max_wal_senders = 0
"""
_WITHOUT_FLUSH = """
fsync = off
full_page_writes = off
autovacuum = off
"""
_ACCESS = f"""
local all {STRICT_USER} scram-sha-256
local all all trust
"""


def find_programs() -> Path | None:
    """The folder with ``initdb`` and ``postgres``, of the newest version; None where there is none."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = [each.parent for each in PROGRAMS.glob("*/bin/initdb")]
    return max(versions, key=lambda each: float(each.parent.name), default=None)


class PostgresServer:
    """A server with one empty database; started when the context is entered, deleted when it is left.

    Postgres refuses to run as root, so for root it runs as another user.

    Args:
        programs: of :func:`find_programs`.
        flush: flush every commit to the disk, against a power failure. What a killed process has written is kept by
            the operating system either way.
    """

    def __init__(self, programs: Path, flush: bool = False) -> None:
        self._programs = programs
        self._settings = _SETTINGS if flush else _SETTINGS + _WITHOUT_FLUSH
        self._user = _other_user() if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="aral-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        if self._user is not None:
            os.chown(self._folder, self._user, -1)
        data = self._folder / "data"
        self._run("initdb", "-D", str(data), "-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
        with (data / "postgresql.conf").open("a") as file:
            file.write(f"{self._settings}unix_socket_directories = '{self._folder}'\n")
        (data / "pg_hba.conf").write_text(_ACCESS)
        self.start()
        self.execute(f"CREATE ROLE {STRICT_USER} LOGIN PASSWORD '{STRICT_PASSWORD}'")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def address(self, database: str = "postgres", user: str = OWNER) -> str:
        """The address of a database."""
        return f"postgresql://{user}@/{database}?host={self._folder}"

    def start(self) -> None:
        """Start the server and wait until it answers; again while processes of a killed one still end."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [self._programs / "postgres", "-D", self._folder / "data"],
                    stdout=log,
                    stderr=log,
                    user=self._user,
                    cwd=self._folder,
                    start_new_session=True,
                )
            while self._process.poll() is None:
                if self._answers():
                    return
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server at once; its connections are cut, and it recovers when it is started again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Kill the server; its processes for connections end when they notice."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Execute a statement as the owner; the rows as text."""
        return self._run(
            "psql",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            str(self._folder),
            "-U",
            OWNER,
            database,
            "-c",
            statement,
        )

    def _answers(self) -> bool:
        asked = [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder)]
        return subprocess.run(asked, check=False, timeout=START_SECONDS).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._programs / program, *arguments],
            user=self._user,
            cwd=self._folder,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}")
        return done.stdout


def _other_user() -> int:
    """The user that Debian's package makes, or one that owns nothing."""
    try:
        return pwd.getpwnam("postgres").pw_uid
    except KeyError:
        return 65534
