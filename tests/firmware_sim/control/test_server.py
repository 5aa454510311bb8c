import asyncio
import json
import socket
import stat
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.clock import run_virtual
from firmware_sim.control import ControlError, control
from firmware_sim.control.address import Address
from firmware_sim.control.control import VERBS, Control
from firmware_sim.control.server import BURST, CLIENTS, EVENTS_KEPT, LINE_LIMIT, REQUESTS_PER_S, ControlServer, Session
from firmware_sim.events import KINDS
from firmware_sim.fleet import Fleet
from firmware_sim.physics.world import World
from tests.firmware_sim.devices import rig, until

WORDS = rig()


class Sink:
    """A writer that keeps what it is given; it is full until `reading` is set."""

    def __init__(self, *, reading=True):
        self.data = b""
        self.reading = asyncio.Event()
        if reading:
            self.reading.set()

    def write(self, data):
        self.data += data

    async def drain(self):
        await self.reading.wait()

    @property
    def rows(self):
        return [json.loads(line) for line in self.data.splitlines()]


def said(*pieces, reading=True, act=None):
    """Let one client say these bytes to a fleet in virtual time; return the rows that it got, and the fleet's state."""

    async def main():
        async with Fleet(WORDS, world=World(WORDS)).serve(memory=True) as fleet:
            reader, sink, control = asyncio.StreamReader(), Sink(reading=reading), Control(fleet)
            session = asyncio.create_task(Session(control, fleet.events, sink).run(reader))
            for piece in pieces:
                reader.feed_data(piece)
                await asyncio.sleep(0)
            if act is not None:
                await act(fleet, sink, control)
            await asyncio.sleep(1)
            reader.feed_eof()
            await session
            return sink.rows, control.status()

    return run_virtual(main())


def test_each_request_has_one_answer_with_its_id_in_order():
    lines = [
        b'{"id": 1, "verb": "pause"}\n{"id": "two", "verb": "step", "span": "1 s"}\n',
        b'{"verb": "resume"}\n{"id": 4, "ve',
        b'rb": "inject", "fault": "crc:p1"}',
        b"\n\n  \r\n",
    ]
    rows, status = said(*lines)
    assert [row["id"] for row in rows] == [1, "two", None, 4]
    assert rows[1]["result"]["t_ns"] == 10**9
    assert rows[3]["result"] == {"number": 1, "fault": "crc:p1", "state": "lasts", "struck": 0}
    assert not status["paused"]


@pytest.mark.parametrize(
    ("line", "number", "complaint"),
    [
        (b"status", None, "not JSON: "),
        (b"\xff\xfe", None, "not JSON: "),
        (b"[1]", None, "a request is an object"),
        (b"null", None, "a request is an object"),
        (b'{"id": 1}', 1, "a request needs `verb`"),
        (b'{"id": 1, "verb": 3}', 1, "a request needs `verb`"),
        (b'{"id": [1], "verb": "status"}', None, "`id` is a number or a text"),
        (b'{"id": 1, "verb": "stat"}', 1, "no verb 'stat', did you mean 'status'?"),
        (b'{"id": 1, "verb": "call"}', 1, "no verb 'call'"),
        (b'{"id": 1, "verb": "subscribe", "kind": "x"}', 1, "subscribe takes no 'kind' (it takes: kinds)"),
        (b'{"id": 1, "verb": "subscribe", "kinds": "struck"}', 1, "'kinds' must be a list"),
        (b'{"id": 1, "verb": "subscribe", "kinds": ["struk"]}', 1, "no kind of event 'struk', did you mean 'struck'?"),
        (b'{"id": 1, "verb": "subscribe", "kinds": [[]]}', 1, "no kind of event '[]'"),
        (b'{"id": 1, "verb": "mark", "text": "' + LINE_LIMIT * b"x" + b'"}', None, f"a line is at most {LINE_LIMIT}"),
    ],
)
def test_a_malformed_line_is_told_what_is_wrong_and_the_connection_lives_on(line, number, complaint):
    (wrong, right), _ = said(line + b'\n{"id": 2, "verb": "get", "path": "segment.s.volume"}\n')
    assert wrong["id"] == number
    assert wrong["error"]["kind"] == "request"
    assert complaint in wrong["error"]["message"]
    assert right == {"id": 2, "result": 10.0}


def test_the_end_of_a_line_that_is_too_long_is_passed_over_however_it_comes():
    rows, _ = said(*(LINE_LIMIT // 2 * b"x" for _ in range(7)), b'{"verb": "pause"}\n', b'{"id": 2, "verb": "pause"}\n')
    assert [("error" in row, row["id"]) for row in rows] == [(True, None), (False, 2)]


def test_what_cannot_be_done_now_is_another_kind_of_error():
    async def act(fleet, sink, control):
        step = asyncio.create_task(control.step("1 s"))
        await asyncio.sleep(0)
        assert (await Session(control, fleet.events, sink)._answer(b'{"id": 1, "verb": "resume"}')) == {
            "id": 1,
            "error": {"kind": "failed", "message": "a step is under way: wait until it has been answered"},
        }
        await step

    said(act=act)


def test_a_mistake_of_ours_costs_no_answer(monkeypatch, caplog):
    monkeypatch.setattr(Control, "pause", lambda self: 1 / 0)
    (wrong, right), _ = said(b'{"id": 1, "verb": "pause"}\n{"id": 2, "verb": "get", "path": "segment.s.volume"}\n')
    assert wrong["error"]["kind"] == "failed"
    assert "ZeroDivisionError" in wrong["error"]["message"]
    assert "live control failed at" in caplog.text
    assert right["result"] == 10.0


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", "not JSON"),
        (b"POST /" + LINE_LIMIT * b"a" + b" HTTP/1.1\r\nHost: x\r\n\r\n", "a line is at most"),
        (b"\r\nPOST http://x/" + 4 * LINE_LIMIT * b"a" + b" HTTP/1.1\r\n\r\n", "a line is at most"),
        (b"\x16\x03\x01\x02\x00\x01\n", "not JSON"),
    ],
)
@pytest.mark.parametrize("size", [1000, 10**6])
def test_what_a_page_lets_a_browser_send_is_not_obeyed(head, complaint, size):
    whole = head + b'\n{"verb": "pause"}\n'
    (refused,), status = said(*(whole[at : at + size] for at in range(0, len(whole), size)))
    assert complaint in refused["error"]["message"]
    assert not status["paused"]


def test_one_client_has_its_share_of_requests_and_waits_for_the_next(monkeypatch):
    async def main():
        async with Fleet(WORDS, world=World(WORDS)).serve(memory=True) as fleet:
            reader, sink, loop = asyncio.StreamReader(), Sink(), asyncio.get_running_loop()
            began_s = loop.time()
            session = asyncio.create_task(Session(Control(fleet), fleet.events, sink).run(reader))
            reader.feed_data((BURST + 3 * REQUESTS_PER_S) * b'{"verb": "get", "path": "segment.s.volume"}\n')
            reader.feed_eof()
            await asyncio.sleep(0.5)
            early = len(sink.rows)
            await session
            return early, len(sink.rows), loop.time() - began_s

    early, answered, took_s = run_virtual(main())
    assert early == pytest.approx(BURST + REQUESTS_PER_S / 2, abs=2)
    assert answered == BURST + 3 * REQUESTS_PER_S
    assert took_s == pytest.approx(3, abs=0.1)


def test_faults_and_deeds_that_wait_are_bounded(monkeypatch):
    monkeypatch.setattr(control, "FAULTS", 3)
    monkeypatch.setattr(control, "DEEDS", 3)
    fault = b'{"verb": "inject", "fault": "crc:p1@10s"}\n'
    deed = b'{"verb": "do", "deed": {"do": "leak", "segment": "s", "rate": "1 kg/day", "at": "1 d"}}\n'
    rows, status = said(4 * fault + b'{"verb": "clear"}\n' + fault + 4 * deed)
    assert ["error" in row for row in rows] == [False] * 3 + [True] + [False] * 2 + [False] * 3 + [True]
    assert rows[3]["error"] == {
        "kind": "failed",
        "message": "3 faults are in force already, those that are over too: clear some",
    }
    assert "3 deeds are to come already" in rows[-1]["error"]["message"]
    assert status["faults"] == 1


def test_only_subscribers_get_events_and_only_of_their_kinds():
    lines = [
        b'{"id": 1, "verb": "mark", "text": "a"}\n',
        b'{"id": 2, "verb": "subscribe", "kinds": ["mark", "paused"]}\n',
        b'{"id": 3, "verb": "mark", "text": "b"}\n{"id": 4, "verb": "faults"}\n{"id": 5, "verb": "pause"}\n',
        b'{"id": 6, "verb": "subscribe", "kinds": []}\n{"id": 7, "verb": "mark", "text": "c"}\n',
    ]
    rows, _ = said(*lines)
    assert [row["id"] for row in rows if "event" not in row] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["event"] for row in rows if "event" in row] == ["mark", "paused"]


def test_a_subscription_without_kinds_is_to_all():
    (row,), _ = said(b'{"id": 1, "verb": "subscribe"}\n')
    assert row["result"]["kinds"] == list(KINDS)


def test_a_slow_subscriber_loses_events_is_told_how_many_and_holds_up_nobody():
    async def act(fleet, sink, control):
        sink.reading.clear()
        for number in range(EVENTS_KEPT + 52):
            control.mark(f"m{number}")
            await asyncio.sleep(0.001)
        assert fleet.now_ns() >= EVENTS_KEPT * 1_000_000
        sink.reading.set()
        await asyncio.sleep(1)
        control.mark("after")

    rows, _ = said(b'{"id": 1, "verb": "subscribe", "kinds": ["mark"]}\n', act=act)
    events = rows[1:]
    marks = [row["text"] for row in events if row["event"] == "mark"]
    (place,) = [place for place, row in enumerate(events) if row["event"] == "dropped"]
    dropped = events[place]["count"]
    assert dropped >= 50
    assert marks == [f"m{number}" for number in range(EVENTS_KEPT + 52 - dropped)] + ["after"]
    assert events[place + 1]["text"] == "after"


ARGUMENTS = ("path", "value", "deed", "fault", "number", "span", "factor", "transducer", "name", "text", "kinds", "zzz")
VALUES = st.sampled_from(
    [
        *(
            "segment.s.pressure",
            "90 kPa",
            "1 s",
            "1e400 s",
            "-1 s",
            "p1",
            "silence:p1@5%",
            "crc:*",
            "last",
            "a",
            "",
            "transducer.p1",
        ),
        *(0, 1, -1, 2.5, 1e308, None, True, [], [1], {}, {"do": "hole", "segment": "s", "diameter": "1 mm"}),
        *({"do": "sensor", "transducer": "p1", "offset": "1e300 Pa"}, {"do": "crew", "segment": "s", "count": 3}),
        *({"do": "air", "segment": "s", "temperature": "1 mK"}, {"do": "leak", "segment": "s", "rate": "1 kg/day"}),
    ]
)
REQUESTS = st.builds(
    lambda verb, words, number: json.dumps({"id": number, "verb": verb, **words}).encode(),
    st.sampled_from([*VERBS, "subscribe", "call", ""]),
    st.dictionaries(st.sampled_from(ARGUMENTS), VALUES, max_size=2),
    st.none() | st.integers() | st.text(max_size=4),
)
LINES = REQUESTS | st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")) | st.just(b"x" * (LINE_LIMIT + 1))


@settings(deadline=None, max_examples=50)
@given(st.lists(LINES, max_size=12), st.integers(1, 40))
def test_whatever_is_said_has_one_answer_a_line(lines, pieces):
    whole = b"".join(line + b"\n" for line in lines)
    size = len(whole) // pieces + 1
    last = b'{"id": "last", "verb": "get", "path": "segment.s.volume"}\n'
    rows, _ = said(*(whole[at : at + size] for at in range(0, len(whole), size)), last)
    answers = [row for row in rows if "event" not in row]
    assert len(answers) == sum(bool(line.strip()) for line in lines) + 1
    assert all(row.keys() in ({"id", "result"}, {"id", "error"}) for row in answers)
    assert not [row for row in answers if row.get("error", {}).get("message", "").startswith("the emulator failed")]
    assert answers[-1] == {"id": "last", "result": 10.0}


# Over real sockets


def served(address, act):
    async def main():
        async with Fleet(WORDS, world=World(WORDS)).serve(memory=True) as fleet:
            server = ControlServer(Control(fleet), fleet.events, address)
            async with server.serve():
                return await act(server)

    return asyncio.run(main())


@asynccontextmanager
async def connected(address):
    path = address.path
    opening = asyncio.open_connection("127.0.0.1", address.port) if path is None else asyncio.open_unix_connection(path)
    reader, writer = await opening
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def ask(client, line):
    reader, writer = client
    writer.write(line)
    return json.loads(await reader.readline())


def test_a_unix_socket_is_its_owners_alone_and_gone_afterwards(tmp_path):
    address = Address(path=tmp_path / "bench.sock")

    async def act(server):
        mode = stat.S_IMODE(address.path.stat().st_mode)
        async with connected(address) as client:
            first = await ask(client, b'{"id": 1, "verb": "pause"}\n')
            with pytest.raises(ControlError, match="another emulator is controlled there"):
                await ControlServer(None, None, address).serve().__aenter__()
            return mode, first["id"], (await ask(client, b'{"id": 2, "verb": "pause"}\n'))["id"]

    assert served(address, act) == (0o600, 1, 2)
    assert not address.path.exists()


def test_a_socket_that_was_left_behind_is_replaced_and_nothing_else_is(tmp_path):
    address = Address(path=tmp_path / "bench.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(address.path))

    async def act(server):
        async with connected(address) as client:
            return (await ask(client, b'{"id": 1, "verb": "status"}\n'))["id"]

    assert served(address, act) == 1
    address.path.write_text("precious")
    with pytest.raises(ControlError, match="exists and is no socket: choose another path"):
        served(address, act)
    assert address.path.read_text() == "precious"
    with pytest.raises(FileNotFoundError) as missing:
        served(Address(path=tmp_path / "none" / "x"), act)
    assert missing.value.filename == str(tmp_path / "none" / "x")


def test_a_tcp_port_of_this_machine():
    async def act(server):
        with pytest.raises(OSError, match="in use") as taken:
            await ControlServer(None, None, server.address).serve().__aenter__()
        async with connected(server.address) as client:
            answer = await ask(client, b'{"id": 1, "verb": "get", "path": "segment.s.volume"}\n')
        return answer, taken.value.filename == str(server.address)

    assert served(Address(port=0), act) == ({"id": 1, "result": 10.0}, True)


def test_one_client_too_many_is_told_so_and_room_is_made_by_those_who_go(tmp_path):
    address = Address(path=tmp_path / "bench.sock")

    async def act(server):
        async with AsyncExitStack() as stack:
            async with connected(address) as first:
                clients = [first]
                clients += [await stack.enter_async_context(connected(address)) for _ in range(CLIENTS - 1)]
                for client in clients:
                    await ask(client, b'{"id": 1, "verb": "pause"}\n')
                async with connected(address) as (reader, _):
                    refused, end = json.loads(await reader.readline()), await reader.read()
            await until(lambda: len(server.sessions) < CLIENTS)
            again = await ask(await stack.enter_async_context(connected(address)), b'{"id": 9, "verb": "pause"}\n')
        return refused["error"]["message"], end, again["id"]

    message, end, again = served(address, act)
    assert message == "16 clients are connected already: end one of them"
    assert (end, again) == (b"", 9)


def test_a_client_that_never_reads_does_not_keep_the_server_from_its_end(tmp_path):
    address = Address(path=tmp_path / "bench.sock")

    async def act(server):
        async with connected(address) as (_, writer):
            writer.write(b'{"id": 1, "verb": "status"}\n' * 2000)
            await until(lambda: server.sessions)
            await asyncio.sleep(0.05)
            for session in server.sessions:
                session.cancel()
            await until(lambda: not server.sessions)

    served(address, act)
    assert not address.path.exists()
