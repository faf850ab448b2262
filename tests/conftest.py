"""A Postgres server for the tests of several folders."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from aral.testing import PostgresServer, find_programs

MISSING = (
    "Tests of projects on a Postgres server need its programs. Debian and Ubuntu as root: apt-get install postgresql; "
    "and psycopg: pip install 'aral[postgres]'. Without them they are skipped, but where CI=true is set they fail."
)


def new_server() -> PostgresServer:
    """A server that is not started yet; without its programs or psycopg the test is skipped, or fails in CI."""
    programs = find_programs()
    try:
        import psycopg  # noqa: F401
    except ImportError:
        programs = None
    if programs is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    return PostgresServer(programs)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests; each project has a schema of its own."""
    with new_server() as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop or kill."""
    with new_server() as server:
        yield server
