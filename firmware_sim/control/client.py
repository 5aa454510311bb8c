"""A client of live control, for tests and programs that block.

with ControlClient("/run/user/1000/bench.sock") as bench:
    bench.call("inject", fault="late:sm_p1,delay=400ms")
    bench.call("step", span="10 s")
"""

import socket
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, Self

import orjson

from firmware_sim import EmulatorError
from firmware_sim.control import ControlError
from firmware_sim.control.address import LOOPBACK, parse_address

_CHUNK: Final = 65_536
_EVENTS_KEPT: Final = 10_000


class NotControlledError(EmulatorError, ConnectionError):
    """Nobody answers at that address."""


class ControlClient:
    """One connection; requests are answered one after another.

    Events that come while an answer is awaited are kept for `events`, the newest 10000.

    Args:
        address: a unix socket's path or 127.0.0.1:PORT.
        timeout_s: how long an answer may take, None for ever.

    Raises:
        ControlError: that is no address.
        NotControlledError: nobody listens there.
    """

    def __init__(self, address: str, *, timeout_s: float | None = 10.0) -> None:
        self._address = parse_address(address)
        self._number = 0
        self._buffer = b""
        self._kept: deque[dict[str, Any]] = deque(maxlen=_EVENTS_KEPT)
        path = self._address.path
        self._socket = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect((LOOPBACK, self._address.port) if path is None else str(path))
        except OSError as error:
            self._socket.close()
            raise NotControlledError(
                f"nobody listens at {self._address} ({error.strerror or error}): is `manovac emulate RIG --control "
                f"{self._address}` running?"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def call(self, verb: str, **words: Any) -> Any:
        """Ask, and return the result.

        Raises:
            ControlError: the request is wrong; the message says how.
            EmulatorError: it could not be done.
            NotControlledError: the emulator has gone, or does not answer in time.
        """
        self._number += 1
        self._send({"id": self._number, "verb": verb, **words})
        while True:
            row = self._row()
            if "event" in row:
                self._kept.append(row)
            elif row["id"] not in {self._number, None}:
                continue  # to a request that was given up
            elif "error" in row:
                error = row["error"]
                raise (ControlError if error["kind"] == "request" else EmulatorError)(error["message"])
            else:
                return row["result"]

    def subscribe(self, *kinds: str) -> None:
        """Ask for events of these kinds, all of them by default; `events` has them then.

        Raises:
            ControlError: no such kind.
        """
        self.call("subscribe", **({"kinds": list(kinds)} if kinds else {}))

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield events as they come, for ever, however long that takes."""
        timeout_s = self._socket.gettimeout()
        while True:
            if self._kept:
                yield self._kept.popleft()
                continue
            self._socket.settimeout(None)
            try:
                row = self._row()
            finally:
                self._socket.settimeout(timeout_s)
            yield row

    def _send(self, request: dict[str, Any]) -> None:
        try:
            self._socket.sendall(orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise self._gone(error) from None

    def _row(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            try:
                chunk = self._socket.recv(_CHUNK)
            except TimeoutError:
                raise NotControlledError(f"{self._address} does not answer: is it a Manovac emulator?") from None
            except OSError as error:
                raise self._gone(error) from None
            if not chunk:
                raise self._gone(None)
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if not isinstance(row, dict) or not row.keys() & {"id", "event"}:
            raise NotControlledError(f"{self._address} does not speak as a Manovac emulator does")
        return row

    def _gone(self, error: OSError | None) -> NotControlledError:
        why = "" if error is None else f" ({error.strerror or error})"
        return NotControlledError(f"the emulator at {self._address} has ended{why}")
