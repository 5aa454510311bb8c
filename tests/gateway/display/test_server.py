"""The HTTP server over real sockets, with a gateway on an emulated rig behind it."""

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from drivers.rig import Rig
from drivers.rig_gateway import Http
from firmware_sim.testing import emulated
from gateway.app import Gateway
from gateway.display import server as display
from gateway.display.server import CONNECTIONS, CONNECTIONS_PER_S, LARGEST_BODY, LONGEST_LINE, REQUESTS_PER_S, serving
from gateway.mqtt.credentials import MqttSettingsError
from gateway.mqtt.memory import MemoryLink

RIG = Rig.model_validate(
    {
        "station": {"id": "iss", "gateway": "pi1"},
        "segment": {"prk": {}},
        "bus": {"aft": {"kind": "rtu-over-tcp", "port": "127.0.0.1:1"}},
        "transducer": {"p1": {"model": "keller-33x", "bus": "aft", "unit": 7, "segment": "prk"}},
    }
)


@pytest.fixture(autouse=True)
def _own_allowance(monkeypatch):
    """Tests ask faster than a monitor does."""
    monkeypatch.setattr(display, "REQUESTS_PER_S", 10_000)
    monkeypatch.setattr(display, "CONNECTIONS_PER_S", 10_000)


@asynccontextmanager
async def served(rig=RIG, **words):
    """Yield the address of a running gateway's server."""
    made = Gateway(rig, rig_hash="0", boot="3f9c", make_carrier=partial(MemoryLink, deliver=lambda message: None))
    running = asyncio.create_task(made.run())
    async with serving(made, Http.model_validate({"port": 0, **words})) as address:
        yield address
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def asked(address, path, method="GET", **headers):
    """Return status and text."""
    async with aiohttp.ClientSession() as session, session.request(method, address + path, headers=headers) as answer:
        assert answer.headers["Server"] == "manovac"
        return answer.status, await answer.text()


async def sent(address, data):
    """Send bytes as they are; return what comes until the other side hangs up."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    heard = b""
    with suppress(ConnectionError):
        writer.write(data)
        heard = await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return heard


def numbers(text):
    """Return the value of each sample by its name and labels, which stand in the order of their names."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_are_the_numbers_of_health_and_with_all_buses_up_it_is_ready():
    values = {}
    async with emulated(RIG) as fleet, served(RIG.with_ports(fleet.ports)) as address:
        async with asyncio.timeout(10):
            while ("manovac_attempts_total", "aft", "reply", "7") not in values:
                await asyncio.sleep(0.05)
                values = numbers((await asked(address, "/metrics"))[1])
        assert await asked(address, "/readyz") == (200, "ready\n")
    assert values["manovac_bus_up", "aft"] == values["manovac_bus_connects_total", "aft"] == 1
    assert values["manovac_attempts_total", "aft", "reply", "7"] >= 1
    assert values["manovac_line_seconds_total", "aft", "7"] > 0
    assert 0 < values["manovac_round_trip_mean_seconds", "aft", "7"] < 10
    assert values["manovac_mqtt_connected",] == 1
    assert values["manovac_mqtt_published_total",] > 0
    assert values["manovac_mqtt_refused_total",] == values["manovac_mqtt_taken_over_total",] == 0
    assert values["manovac_memory_bytes",] > 1e7
    assert values["manovac_queue_messages",] >= 0
    assert values["manovac_journal_rows",] == values["manovac_journal_failing",] == 0
    assert next(key[1] for key in values if key[0] == "manovac_clock_state") in {"ntp", "free", "unknown"}
    (about,) = (key for key in values if key[0] == "manovac_gateway_info")
    assert {"iss", "pi1", "3f9c"} < set(about)


async def test_it_is_alive_but_not_ready_while_a_bus_is_away():
    async with served() as address:
        assert await asked(address, "/healthz") == (200, "alive\n")
        status, text = await asked(address, "/readyz")
    assert status == 503
    assert text.startswith("bus aft: ")


async def test_nothing_else_is_there_and_nothing_can_be_changed(monkeypatch):
    monkeypatch.setenv("MANOVAC_TEST_TOKEN", "planted")
    async with served(token={"env": "MANOVAC_TEST_TOKEN"}) as address:
        assert (await asked(address, "/nowhere"))[0] == 404
        assert (await asked(address, "/metrics", "POST"))[0] == 401
        assert (await asked(address, "/metrics", "POST", Authorization="Bearer wrong"))[0] == 401
        assert (await asked(address, "/metrics", "POST", Authorization="Bearer planted"))[0] == 405
        assert (await asked(address, "/metrics", "HEAD"))[0] == 200


async def test_a_name_that_points_here_and_a_page_of_elsewhere_get_nothing():
    async with served(names=["gateway.example"]) as address:
        assert (await asked(address, "/metrics", Host="evil.example"))[0] == 421
        assert (await asked(address, "/metrics", Origin="http://evil.example"))[0] == 403
        assert (await asked(address, "/metrics", Host="gateway.example"))[0] == 200


async def test_the_token_must_be_where_the_rig_file_says(monkeypatch):
    monkeypatch.delenv("MANOVAC_TEST_TOKEN", raising=False)
    with pytest.raises(MqttSettingsError, match=r"http\.token: the environment variable MANOVAC_TEST_TOKEN is not set"):
        async with served(token={"env": "MANOVAC_TEST_TOKEN"}):
            pass


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + LONGEST_LINE * b"x" + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + 2 * LONGEST_LINE * b"x" + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + 200 * b"X: y\r\n" + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_what_is_too_long_or_no_request_is_refused(data):
    async with served() as address:
        assert (await sent(address, data)).startswith(b"HTTP/1.0 400 ")


async def test_a_body_is_not_kept():
    async with served() as address:
        head = b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (
            2 * LARGEST_BODY
        )
        assert (await sent(address, head + 2 * LARGEST_BODY * b"x")).startswith(b"HTTP/1.1 403 ")


async def test_more_connections_than_are_taken_are_hung_up(monkeypatch):
    monkeypatch.setattr(display, "LIFE_S", 1000.0)
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with served() as address, AsyncExitStack() as stack:
        host, _, port = address.removeprefix("http://").rpartition(":")
        for _ in range(CONNECTIONS):
            _, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
            writer.write(ask[:9])
        async with asyncio.timeout(10):
            while await sent(address, ask):
                pass
            writer.close()
            while not (await sent(address, ask)).startswith(b"HTTP/1.1 200 "):
                pass


async def test_a_connection_that_brings_no_request_ends(monkeypatch):
    monkeypatch.setattr(display, "LIFE_S", 0.1)
    async with served() as address:
        for slow in (b"", b"GET /metrics HT", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"):
            assert await sent(address, slow) == b""


async def test_so_many_requests_a_second_and_no_more(monkeypatch):
    monkeypatch.setattr(display, "REQUESTS_PER_S", REQUESTS_PER_S)
    async with served() as address:
        answers = [(await asked(address, "/healthz"))[0] for _ in range(3 * REQUESTS_PER_S)]
        assert set(answers) == {200, 429}
        assert answers[0] == 200


async def test_what_is_no_request_is_limited_too_and_fills_no_log(monkeypatch, caplog):
    monkeypatch.setattr(display, "CONNECTIONS_PER_S", CONNECTIONS_PER_S)
    twice = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    odd = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \xff\r\nConnection: close\r\n\r\n"
    async with served() as address:
        assert (await sent(address, odd)).startswith(b"HTTP/1.1 403 ")
        answers = [await sent(address, twice) for _ in range(3 * CONNECTIONS_PER_S)]
    assert {answer[:13] for answer in answers} == {b"HTTP/1.0 400 ", b""}
    assert not [record for record in caplog.records if record.name.startswith(("aiohttp", "gateway.display"))]


async def test_a_mistake_of_ours_is_told_and_logged_once(monkeypatch, caplog):
    monkeypatch.setattr(Gateway, "stuck", lambda self: 1 / 0)
    async with served() as address:
        for _ in range(3):
            assert await asked(address, "/healthz") == (500, "this failed: ZeroDivisionError\n")
    assert [record.message for record in caplog.records if record.exc_info] == ["HTTP: /healthz could not be answered"]


async def test_who_reads_nothing_keeps_nobody_out(monkeypatch):
    monkeypatch.setattr(display, "LIFE_S", 0.5)
    monkeypatch.setattr(display, "exposition", lambda *_: b"x" * 5_000_000)  # more than the system takes for them
    ask = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with served() as address, AsyncExitStack() as stack:
        host, _, port = address.removeprefix("http://").rpartition(":")
        for _ in range(CONNECTIONS):
            slow = stack.enter_context(socket.socket())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
            slow.setblocking(False)
            await asyncio.get_running_loop().sock_connect(slow, (host, int(port)))
            slow.send(ask)
        await asyncio.sleep(2 * display.LIFE_S)
        assert await asked(address, "/healthz") == (200, "alive\n")


async def test_a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with served(port=taken.getsockname()[1]):
            pass
