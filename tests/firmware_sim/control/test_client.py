"""The Python client against a fleet that runs in a thread of its own, beside a test that blocks."""

import asyncio
import socket
import threading
from contextlib import contextmanager

import pytest

from firmware_sim import EmulatorError
from firmware_sim.clock import EmulatorClock
from firmware_sim.control import ControlError
from firmware_sim.control.address import Address
from firmware_sim.control.client import ControlClient, NotControlledError
from firmware_sim.control.control import Control
from firmware_sim.control.server import ControlServer
from firmware_sim.fleet import Fleet
from firmware_sim.physics.world import World
from tests.firmware_sim.devices import rig


@contextmanager
def controlled(address):
    """Serve a rig in memory under live control, in a thread; yields where."""
    words, where, ready = rig(), [], threading.Event()
    over: list[asyncio.Event] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def main():
        over.append(asyncio.Event())
        loops.append(asyncio.get_running_loop())
        async with Fleet(words, world=World(words)).serve(memory=True) as fleet:
            server = ControlServer(Control(fleet), fleet.events, address)
            async with server.serve():
                where.append(str(server.address))
                ready.set()
                await over[0].wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield where[0]
    finally:
        loops[0].call_soon_threadsafe(over[0].set)
        thread.join()


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_requests_errors_and_events(kind, tmp_path):
    address = Address(path=tmp_path / "s") if kind == "unix" else Address(port=0)
    with controlled(address) as where, ControlClient(where) as client:
        client.subscribe("mark", "paused")
        client.call("pause")
        assert client.call("get", path="segment.s.volume") == 10.0
        with pytest.raises(ControlError, match="no transducer 'p9'"):
            client.call("reboot", transducer="p9")
        client.call("mark", text="here")
        with ControlClient(where) as other:
            other.call("mark", text="there")
        events = client.events()
        assert [next(events)["event"], next(events)["text"], next(events)["text"]] == ["paused", "here", "there"]


def test_what_cannot_be_done_now_is_no_mistake_of_the_request(tmp_path, monkeypatch):
    def busy(self):
        raise EmulatorError("a step is under way")

    monkeypatch.setattr(EmulatorClock, "pause", busy)
    with controlled(Address(path=tmp_path / "s")) as where, ControlClient(where) as client:
        with pytest.raises(EmulatorError, match="a step is under way") as failed:
            client.call("pause")
        assert not isinstance(failed.value, ControlError)


def test_an_emulator_that_ends_is_missed(tmp_path):
    with controlled(Address(path=tmp_path / "s")) as where:
        client = ControlClient(where)
        client.call("pause")
    with client, pytest.raises(NotControlledError, match=r"the emulator at .*/s has ended"):
        client.call("resume")


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"220 smtp ready\r\n", "does not speak as a Manovac emulator does"),
        (b'["odd"]\n', "does not speak as a Manovac emulator does"),
        (b"", "does not answer: is it a Manovac emulator?"),
    ],
)
def test_somebody_else_at_that_address_is_recognised(said, complaint):
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = ControlClient(f"127.0.0.1:{server.getsockname()[1]}", timeout_s=0.2)
        connection, _ = server.accept()
        with client, connection:
            connection.sendall(said)
            with pytest.raises(NotControlledError, match=complaint):
                client.call("status")


def test_an_answer_to_a_request_that_was_given_up_is_passed_over():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = ControlClient(f"127.0.0.1:{server.getsockname()[1]}", timeout_s=0.2)
        connection, _ = server.accept()
        with client, connection:
            with pytest.raises(NotControlledError, match="does not answer"):
                client.call("step", span="1 h")
            connection.sendall(b'{"id":1,"error":{"kind":"failed","message":"late"}}\n{"id":2,"result":"mine"}\n')
            assert client.call("status") == "mine"


def test_nobody_there_is_told_with_what_to_do(tmp_path):
    with pytest.raises(NotControlledError, match=r"nobody listens at .*/none \(No such file .*\): is `manovac emulate"):
        ControlClient(str(tmp_path / "none"))
