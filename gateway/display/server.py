"""The gateway's HTTP server: `/metrics`, `/healthz`, `/readyz`; nothing that changes anything yet.

Whoever can reach its port gets answers within limits: of a request's size, of connections, of a connection's life, of
requests a second. The rest is `gateway.display.guard`'s to judge.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final, Protocol

from aiohttp import web

from drivers.rig import Station
from drivers.rig_gateway import Http
from gateway.display.guard import Guard
from gateway.display.metrics import CONTENT_TYPE, exposition
from gateway.health import HealthCheck
from gateway.mqtt.credentials import secret
from gateway.mqtt.outbox import LinkStatistics
from gateway.poller import Poller
from gateway.supervision import Again

_log: Final = logging.getLogger(__name__)
_unsaid: Final = logging.getLogger(f"{__name__}.library")  # to it a request that is none is an error with a traceback
_unsaid.setLevel(logging.CRITICAL)
CONNECTIONS: Final = 32
CONNECTIONS_PER_S: Final = 100
LIFE_S: Final = 10.0  # of a connection: who is slower than that, also to read, keeps nobody else out
REQUESTS_PER_S: Final = 20
LONGEST_LINE: Final = 4096  # of a request's first line, and of each header; bytes
LARGEST_BODY: Final = 64 * 2**10
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "manovac"}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Carrying(Protocol):
    """What delivers to the broker."""

    def statistics(self) -> LinkStatistics:
        """Return a snapshot."""
        ...


class Shown(Protocol):
    """What is shown: `gateway.app.Gateway`."""

    @property
    def boot(self) -> str:
        """Id of this start."""
        ...

    @property
    def station(self) -> Station:
        """As in the rig file."""
        ...

    @property
    def pollers(self) -> Sequence[Poller]:
        """One for each bus."""
        ...

    @property
    def carrier(self) -> Carrying:
        """The link."""
        ...

    @property
    def sync(self) -> str:
        """State of the clock."""
        ...

    def stuck(self) -> Sequence[str]:
        """Return the names of parts that stand still for good."""
        ...

    def health_check(self) -> HealthCheck:
        """Return what takes snapshots of how it does."""
        ...


@asynccontextmanager
async def serving(gateway: Shown, words: Http) -> AsyncIterator[str]:
    """Answer by HTTP for a `with` block.

    Yields:
        The address, `http://host:port`.

    Raises:
        MqttSettingsError: the token is not where the rig file says.
        OSError: it cannot listen there.
    """
    token = None if words.token is None else secret(words.token, "http.token")
    display = _Display(gateway, Guard(words.names, token))
    runner = web.AppRunner(
        display.application(),
        access_log=None,
        logger=_unsaid,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
        keepalive_timeout=LIFE_S,
        shutdown_timeout=0.5,
    )
    await runner.setup()
    server = None
    watching = asyncio.create_task(Again("http: loop lag", display.check.watch_loop).run(), name="http: loop lag")
    try:
        server = await asyncio.get_running_loop().create_server(_door(runner), words.listen, words.port)
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        if server is not None:
            server.close()
        watching.cancel()
        await asyncio.wait([watching])
        await runner.cleanup()


def _door(runner: web.AppRunner) -> Callable[[], asyncio.BaseProtocol]:
    """Return what takes connections: so many at a time and a second, each for so long."""
    allowance = _Allowance()

    def enter() -> asyncio.BaseProtocol:
        server = runner.server
        if server is None or len(server.connections) >= CONNECTIONS or not allowance.take(CONNECTIONS_PER_S):
            return _Full()
        handler = server()
        asyncio.get_running_loop().call_later(LIFE_S, _end, handler)
        return handler

    return enter


def _end(handler: web.RequestHandler) -> None:
    if handler.transport is not None:
        handler.transport.abort()  # to close would wait for a peer that reads nothing


class _Allowance:
    """So many a second."""

    def __init__(self) -> None:
        self._second = 0
        self._taken = 0

    def take(self, most: int) -> bool:
        """Say whether another one is within what is allowed in this second."""
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        return self._taken <= most


class _Full(asyncio.Protocol):
    """Hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


class _Display:
    """What is answered."""

    def __init__(self, gateway: Shown, guard: Guard) -> None:
        self._gateway = gateway
        self._guard = guard
        self.check = gateway.health_check()
        self._allowance = _Allowance()
        self._failed = False

    def application(self) -> web.Application:
        """Return all paths behind the guard."""
        application = web.Application(middlewares=[self._guarded], client_max_size=LARGEST_BODY)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._alive)
        application.router.add_get("/readyz", self._ready)
        application.on_response_prepare.append(_complete)
        return application

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not self._allowance.take(REQUESTS_PER_S):
            return _text("more requests than are answered in a second", status=429)
        refusal = self._guard.refuses(
            method=request.method,
            host=request.headers.get("Host"),
            origin=request.headers.get("Origin"),
            authorization=request.headers.get("Authorization"),
        )
        if refusal is not None:
            return _text(refusal.why, status=refusal.status)
        try:
            return await handler(request)
        except web.HTTPException as error:  # no such path, or not this method there
            return _text(error.reason, status=error.status)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not cost the answer
            if not self._failed:  # once: whoever finds a mistake of ours must not fill the log
                self._failed = True
                _log.exception("HTTP: %s could not be answered", request.path)
            return _text(f"this failed: {type(error).__name__}", status=500)

    async def _metrics(self, request: web.Request) -> web.Response:  # noqa: ARG002 - as all handlers
        station = self._gateway.station
        about = {"station": station.id, "gateway": station.gateway, "boot": self._gateway.boot}
        about["version"] = version("manovac")
        link = self._gateway.carrier.statistics()
        text = exposition(self.check.snapshot(link, sync=self._gateway.sync), link, about)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def _alive(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Answer that it is alive, unless a part of it stands still for good."""
        stuck = self._gateway.stuck()
        return _text(f"stuck: {', '.join(stuck)}", status=503) if stuck else _text("alive")

    async def _ready(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Answer whether readings come in and go out; what hinders that is named."""
        missing = list(_missing(self._gateway))
        return _text("\n".join(missing), status=503) if missing else _text("ready")


def _missing(gateway: Shown) -> Iterator[str]:
    link = gateway.carrier.statistics()
    if not link.connected:
        yield "no broker"
    if link.outbox.journal_problem:
        yield f"no journal: {link.outbox.journal_problem}"
    for poller in gateway.pollers:
        bus = poller.bus.statistics()
        if not bus.up:
            yield f"bus {poller.bus.name}: {bus.problem or 'not open yet'}"


async def _complete(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001
    response.headers.update(_HEADERS)


def _text(text: str, *, status: int = 200) -> web.Response:
    return web.Response(text=f"{text}\n", status=status)
