"""Who may ask: links, cookies, host names, origins, the secret in its file."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from aral.web.proof import OneTime, is_nonce, proof
from aral.web.security import LINK_SECONDS, MOST_LINKS, SECRET_FILE, Security, for_project, same_origin

RULES = Security("right" * 9, 8427)


def test_a_link_opens_once() -> None:
    first, second = RULES.new_link(), RULES.new_link()
    assert first != second
    assert len(first) == 43
    assert RULES.redeem(first)
    assert not RULES.redeem(first)
    assert RULES.redeem(second)
    assert not RULES.redeem("")


def test_a_link_waits_ten_minutes_and_no_more_than_a_hundred_do() -> None:
    now = 0.0
    rules = Security("right" * 9, 8427, _links=OneTime(LINK_SECONDS, MOST_LINKS, lambda: now))
    kept, late = rules.new_link(), rules.new_link()
    now = 599.0
    assert rules.redeem(kept)
    now = 600.0
    assert not rules.redeem(late)
    links = [rules.new_link() for _ in range(101)]
    assert [rules.redeem(link) for link in links] == [False, *[True] * 100]
    assert (Security("right" * 9, 8427)._links._seconds, Security("right" * 9, 8427)._links._most) == (
        600.0,
        100,
    )


def test_tokens_are_good_once_for_a_while_and_not_without_end() -> None:
    now = 0.0
    tokens = OneTime(10.0, 3, lambda: now)
    first, second = tokens.new("one"), tokens.new("two")
    assert is_nonce(first) and not is_nonce(f"{first}x") and first != second
    assert (tokens.spend(first), tokens.spend(first), tokens.spend("")) == ("one", None, None)
    now = 9.9
    kept = [tokens.new(str(number)) for number in range(3)]
    assert tokens.spend(second) is None  # the oldest gave way
    now = 19.8
    assert tokens.spend(kept[0]) == "0"
    now = 19.9
    assert tokens.spend(kept[1]) is None


def test_a_proof_by_hand() -> None:
    """HMAC-SHA256 as OpenSSL has it: printf 'server 80 a b' | openssl dgst -sha256 -hmac key"""
    shown = proof("key", "server", 80, "a", "b")
    assert shown == "8bbfa7fc9d837e196d0c907dbd3d0a2447ced5c942ba06d0264f728ed9a15152"
    others = [proof("key", "command", 80, "a", "b"), proof("key", "server", 81, "a", "b")]
    assert shown not in others and len(set(others)) == 2


@pytest.mark.parametrize(
    ("headers", "admitted"),
    [
        ({"cookie": f"aral-8427={RULES.secret}"}, True),
        ({"cookie": f"other=1; aral-8427={RULES.secret}"}, True),
        ({"cookie": f"aral-8428={RULES.secret}"}, False),
        ({"cookie": "aral-8427="}, False),
        ({"cookie": f"aral-8427={RULES.secret}x"}, False),
        ({"cookie": "aral-8427=\xff\xfe; =;;"}, False),
        ({"authorization": f"Bearer {RULES.secret}"}, True),
        ({"authorization": f"Bearer {RULES.secret[:-1]}"}, False),
        ({"authorization": "Basic " + base64.b64encode(f"a:{RULES.secret}".encode()).decode()}, True),
        ({"authorization": "Basic " + base64.b64encode(f"{RULES.secret}:a".encode()).decode()}, False),
        ({"authorization": "Basic %%%"}, False),
        ({"authorization": RULES.secret}, False),
        ({}, False),
    ],
)
def test_the_secret_admits_and_nothing_else(headers: dict[str, str], admitted: bool) -> None:
    assert RULES.admits(headers) is admitted


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8427", True),
        ("localhost:8427", True),
        ("LOCALHOST", True),
        ("[::1]:8427", True),
        ("[::1]", True),
        ("localhost:9000", True),  # a tunnel
        ("evil.example:8427", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example#localhost", False),
        ("127.0.0.1:8427:80", False),
        ("127.0.0.1:99999", False),
        ("192.168.0.7", False),
        ("0.0.0.0:8427", False),
        ("[::]:8427", False),
        ("::1", False),
        ("[::1", False),
        ("2130706433", False),
        ("localhost\x00", False),
        (" localhost", False),
        ("", False),
        (None, False),
    ],
)
def test_hosts(host: str | None, allowed: bool) -> None:
    assert RULES.allows_host(host) is allowed


def test_remote_servers_accept_addresses_but_no_foreign_names(tmp_path: Path) -> None:
    rules = for_project(tmp_path, 80, frozenset({"lab.example"}), remote=True)
    assert rules.allows_host("192.168.0.7:80")
    assert rules.allows_host("[fe80::1]")
    assert rules.allows_host("lab.example")
    assert not rules.allows_host("evil.example")


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": ""}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:1", "host": "localhost:1"}, False),
        ({"origin": "http://localhost:1", "host": "localhost:1"}, True),
        ({"origin": "http://localhost:2", "host": "localhost:1"}, False),
        ({"origin": "https://localhost:1", "host": "localhost:1"}, False),
        ({"origin": "http://evil.example", "host": "localhost:1"}, False),
        ({"origin": "null", "host": "localhost:1"}, False),
        ({"host": "localhost:1"}, True),
    ],
)
def test_origins(headers: dict[str, str], same: bool) -> None:
    assert same_origin(headers) is same


def test_the_secret_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    first = for_project(tmp_path, 8427)
    file = tmp_path / SECRET_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert for_project(tmp_path, 8427).secret == first.secret
    assert [path.name for path in tmp_path.iterdir()] == [SECRET_FILE]
    file.write_text("short")
    assert len(for_project(tmp_path, 8427).secret) == 43


def test_the_projects_name_for_the_page_does_not_tell_the_secret() -> None:
    other = Security("wrong" * 9, 8427)
    assert RULES.project_key != other.project_key
    assert RULES.project_key not in RULES.secret
