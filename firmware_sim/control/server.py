"""Live control over a socket: JSON lines, one answer for each request, and events for those who subscribe.

    {"id": 1, "verb": "inject", "fault": "silence:sm_p1"}
    {"id": 1, "result": {"number": 1, "fault": "silence:sm_p1", "state": "lasts", "struck": 0}}
    {"id": 2, "verb": "subscribe", "kinds": ["struck"]}
    {"id": 2, "result": {"kinds": ["struck"]}}
    {"event": "struck", "t_ns": 1250000000, "bus": "aft", "unit": 1, "kinds": ["silence"]}
    {"id": 3, "verb": "inject", "fault": "silense:sm_p1"}
    {"id": 3, "error": {"kind": "request", "message": "..."}}

An error is of kind "request" when the request is wrong, "failed" when it cannot be done now.
"""

import asyncio
import logging
import math
import os
import re
import socket
import stat
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from drivers.rig_problems import did_you_mean
from firmware_sim import EmulatorError
from firmware_sim.control import ControlError
from firmware_sim.control.address import LOOPBACK, Address
from firmware_sim.control.control import Control
from firmware_sim.events import KINDS, Event, Events

_log: Final = logging.getLogger(__name__)
LINE_LIMIT: Final = 65_536
CLIENTS: Final = 16
EVENTS_KEPT: Final = 1000
REQUESTS_PER_S: Final = 200
BURST: Final = 1000
_CHUNK: Final = 65_536
_ID_LIMIT: Final = 200
_LOGGED: Final = 1000
_BROWSER: Final = re.compile(rb"[A-Z]{3,} \S|\x16\x03")  # the begin of HTTP and of TLS, however long the line is
_Row = dict[str, Any]


class ControlServer:
    """Listens on one address while `serve` lasts; a unix socket can be used by its owner only.

    Attributes:
        address: where; with the number of its port once it listens.
        sessions: of the clients that are connected, `CLIENTS` at most.

    Args:
        control: does what is asked.
        events: what is told.
        address: where.
    """

    def __init__(self, control: Control, events: Events, address: Address) -> None:
        self.address = address
        self._control = control
        self._events = events
        self.sessions: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen while the context lasts.

        Raises:
            ControlError: somebody listens there, or what is there is no socket.
            OSError: the address cannot be used.
        """
        server = await self._listen()
        try:
            yield
        finally:
            server.close()
            for session in self.sessions:
                session.cancel()
            if self.sessions:
                await asyncio.wait(self.sessions)
            await asyncio.sleep(0)  # asyncio closes its sockets one turn later
            if self.address.path is not None:
                self.address.path.unlink(missing_ok=True)

    async def _listen(self) -> asyncio.Server:
        path = self.address.path
        try:
            if path is not None:
                return await asyncio.start_unix_server(self._accept, sock=_unix_listener(path))
            listener = socket.create_server((LOOPBACK, self.address.port))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.address)) from None
        self.address = Address(port=listener.getsockname()[1])
        return await asyncio.start_server(self._accept, sock=listener)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - start_server makes one for each client
        try:
            if len(self.sessions) >= CLIENTS:
                writer.write(_line(_error(None, "failed", f"{CLIENTS} clients are connected already: end one of them")))
                return
            self.sessions.add(task)
            await Session(self._control, self._events, writer).run(reader)
        except (ConnectionError, asyncio.CancelledError):
            # It has gone, or the server ends: what it has not read by now is lost to it, and a handler that ends by
            # an error would be reported as one.
            writer.transport.abort()
        finally:
            self.sessions.discard(task)
            writer.close()


class Session:
    """One client.

    Events wait in a queue of `EVENTS_KEPT`; when a slow client fills it, newer ones are dropped, counted, and told by
    an event "dropped" as soon as it reads again. Answers wait for the client, and hold up nobody else. Requests wait,
    too, once there are more than `BURST` at once and `REQUESTS_PER_S` for longer.
    """

    def __init__(self, control: Control, events: Events, writer: asyncio.StreamWriter) -> None:
        self._control = control
        self._events = events
        self._writer = writer
        self._kinds: frozenset[str] = frozenset()
        self._queue: deque[Event] = deque()
        self._dropped = 0
        self._more = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._spent_s = -math.inf  # until then its share of requests is used up, less a burst

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Answer requests until the client ends the connection."""
        forget = self._events.subscribe(self._take)
        teller = asyncio.create_task(self._tell(), name="control.events")
        try:
            async for line in _lines(reader):
                await self._turn()
                answer = await self._answer(line)
                self._writer.write(_line(answer))
                await self._writer.drain()
                if _BROWSER.match(line):
                    return  # a page asks: the lines of its body must not be taken for requests
        finally:
            forget()
            teller.cancel()
            await asyncio.wait({teller})
            if not teller.cancelled():
                teller.exception()  # the connection's, which `run` has met too

    async def _turn(self) -> None:
        now_s = self._loop.time()
        self._spent_s = max(self._spent_s, now_s - BURST / REQUESTS_PER_S) + 1 / REQUESTS_PER_S
        if self._spent_s > now_s:
            await asyncio.sleep(self._spent_s - now_s)

    async def _answer(self, line: bytes) -> _Row:
        number: Any = None
        try:
            request = _request(line)
            number = _id_of(request)
            return {"id": number, "result": await self._do(_verb_of(request), request)}
        except ControlError as error:
            return _error(number, "request", str(error))
        except EmulatorError as error:
            return _error(number, "failed", str(error))
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not cost the client its answer
            _log.exception("live control failed at %r", line[:_LOGGED])
            return _error(number, "failed", f"the emulator failed at this: {error!r}")

    async def _do(self, verb: str, words: _Row) -> Any:
        if verb != "subscribe":
            return await self._control.call(verb, words)
        kinds = _kinds_of(words)
        self._kinds = frozenset(kinds)
        return {"kinds": kinds}

    def _take(self, event: Event) -> None:
        if event.kind not in self._kinds:
            return
        if self._dropped or len(self._queue) >= EVENTS_KEPT:
            self._dropped += 1
        else:
            self._queue.append(event)
        self._more.set()

    async def _tell(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._queue or self._dropped:
                if self._queue:
                    row = self._queue.popleft().row()
                else:
                    row, self._dropped = {"event": "dropped", "count": self._dropped}, 0
                self._writer.write(_line(row))
                await self._writer.drain()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield lines without their ends; of one that is too long the begin, which is too long, too."""
    buffer, skipping = bytearray(), False
    while chunk := await reader.read(_CHUNK):
        buffer += chunk
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            if skipping:
                skipping = False
            elif line.strip():
                yield line[: LINE_LIMIT + 1]
        if len(buffer) > LINE_LIMIT:
            if not skipping:
                yield bytes(buffer[: LINE_LIMIT + 1])
            buffer.clear()
            skipping = True
    if buffer.strip() and not skipping:
        yield bytes(buffer)


def _request(line: bytes) -> _Row:
    if len(line) > LINE_LIMIT:
        raise ControlError(f"a line is at most {LINE_LIMIT} bytes long")
    try:
        request = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ControlError(f"not JSON: {error}") from None
    if not isinstance(request, dict):
        raise ControlError('a request is an object, such as {"id": 1, "verb": "status"}')
    return request


def _id_of(request: _Row) -> Any:
    number = request.pop("id", None)
    if isinstance(number, dict | list) or len(str(number)) > _ID_LIMIT:
        raise ControlError(f"`id` is a number or a text of at most {_ID_LIMIT} characters")
    return number


def _verb_of(request: _Row) -> str:
    verb = request.pop("verb", None)
    if not isinstance(verb, str):
        raise ControlError('a request needs `verb`, such as {"id": 1, "verb": "status"}')
    return verb


def _kinds_of(words: _Row) -> list[str]:
    """Return what to subscribe to: all kinds where nothing is said, none for an empty list."""
    kinds = words.pop("kinds", list(KINDS))
    if words:
        raise ControlError(f"subscribe takes no '{next(iter(words))}' (it takes: kinds)")
    if not isinstance(kinds, list):
        raise ControlError("subscribe: 'kinds' must be a list")
    for kind in kinds:
        if kind not in list(KINDS):
            raise ControlError(f"no kind of event '{kind}'{did_you_mean(str(kind), KINDS)} (known: {', '.join(KINDS)})")
    return kinds


def _error(number: Any, kind: str, message: str) -> _Row:
    return {"id": number, "error": {"kind": kind, "message": message}}


def _line(row: _Row) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _unix_listener(path: Path) -> socket.socket:
    """Return a socket bound to a path for its owner alone, in place of one that nobody listens on any more."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        there = None
    if there is not None:
        if not stat.S_ISSOCK(there.st_mode):
            raise ControlError(f"{path} exists and is no socket: choose another path")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise ControlError(f"{path}: another emulator is controlled there")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    former = os.umask(0o177)
    try:
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(former)
    return listener
