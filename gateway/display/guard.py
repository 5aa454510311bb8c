"""Who may ask what by HTTP, pure: against pages of elsewhere that make a browser on this network ask for them.

A page can send its visitor's browser to an address here in two ways. Under a name of its own that it has let point here
(DNS rebinding): then `Host` is that name, so names must be known. From where it is: then `Origin` says so. Whatever
changes anything wants a token besides, which no browser sends by itself.
"""

import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_ASKING: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """HTTP status, and why."""

    status: int
    why: str


class Guard:
    """Judges requests by their heads.

    Args:
        names: by which this server may be asked, besides IP addresses and `localhost`.
        token: what a request that changes something must bear; None lets none of them through.
    """

    def __init__(self, names: Iterable[str], token: str | None) -> None:
        self._names = frozenset({"localhost", *(name.lower() for name in names)})
        self._token = token

    def refuses(
        self, *, method: str, host: str | None, origin: str | None, authorization: str | None
    ) -> Refusal | None:
        """Return why a request is refused, None when it is not; all but the method are headers."""
        if host is None or not self._knows(host):
            return Refusal(status=421, why="no such name here: ask by IP address, or put the name into http.names")
        if origin is not None and _place(origin) != host.lower():
            return Refusal(status=403, why="asked by a page of another place")
        if method in _ASKING:
            return None
        if self._token is None:
            return Refusal(status=403, why="nothing can be changed here: the rig file has no http.token")
        if not hmac.compare_digest(_bytes(authorization or ""), _bytes(f"Bearer {self._token}")):
            return Refusal(status=401, why="this needs the token: Authorization: Bearer TOKEN")
        return None

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            ipaddress.ip_address(name)
        except ValueError:
            return host.partition(":")[0].lower() in self._names
        return True  # nobody can let an IP address point elsewhere


def _bytes(header: str) -> bytes:
    return header.encode("utf-8", "surrogateescape")


def _place(origin: str) -> str:
    """Return host and port of a page, empty for what has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
