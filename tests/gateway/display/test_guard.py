"""Whose requests are answered."""

import pytest

from gateway.display.guard import Guard

OPEN = Guard(["Gateway.example"], None)
LOCKED = Guard([], "planted")


def status(guard, *, method="GET", host="127.0.0.1:8080", origin=None, authorization=None):
    refusal = guard.refuses(method=method, host=host, origin=origin, authorization=authorization)
    return None if refusal is None else refusal.status


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("127.0.0.1", None),
        ("127.0.0.1:8080", None),
        ("192.0.2.7:8080", None),
        ("[::1]:8080", None),
        ("[2001:db8::7]", None),
        ("localhost:8080", None),
        ("LOCALHOST", None),
        ("gateway.example:8080", None),
        ("evil.example:8080", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example@127.0.0.1", None),  # urlsplit and browsers agree that this is 127.0.0.1
        ("", 421),
        ("[::1", 421),
        (None, 421),
    ],
)
def test_only_names_that_are_ours_are_answered(host, refused):
    assert status(OPEN, host=host) == refused


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("http://127.0.0.1:8080", None),
        ("https://127.0.0.1:8080", None),
        ("http://127.0.0.1", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_pages_of_elsewhere_are_refused(origin, refused):
    assert status(OPEN, origin=origin) == refused


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "strange"])
def test_what_changes_anything_needs_the_token(method):
    assert status(OPEN, method=method, authorization="Bearer planted") == 403
    assert status(LOCKED, method=method) == 401
    for wrong in (
        "Bearer",
        "Bearer plante",
        "Bearer planted2",
        "planted",
        "Basic planted",
        "Bearer pläntéd",
        "Bearer \udcff",
    ):
        assert status(LOCKED, method=method, authorization=wrong) == 401
    assert status(LOCKED, method=method, authorization="Bearer planted") is None
    assert status(LOCKED, method=method, authorization="Bearer planted", origin="http://evil.example") == 403


def test_no_refusal_shows_the_token():
    refusal = LOCKED.refuses(method="POST", host="127.0.0.1", origin=None, authorization="Bearer wrong")
    assert "planted" not in str(refusal)
    assert "planted" not in repr(LOCKED)
