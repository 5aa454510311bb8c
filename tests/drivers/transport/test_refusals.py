"""A port that cannot be opened is always an OSError that says what and why, never another exception."""

import asyncio
import os
import socket

import pytest

from drivers.rig import Bus
from drivers.transport import serial_port
from drivers.transport.choose import transport_for


class _Nobody:
    def received(self, data):
        raise AssertionError

    def lost(self, why):
        raise AssertionError


async def refused(**words):
    with pytest.raises(OSError) as failed:  # noqa: PT011 - its message is what is tested
        await transport_for(Bus.model_validate(words)).connect(_Nobody())
    return str(failed.value)


async def test_nothing_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        said = await refused(kind="modbus-tcp", port=f"127.0.0.1:{port}")
    assert said.startswith(f"127.0.0.1:{port}: connection refused: nothing listens there")


@pytest.mark.parametrize("kind", ["modbus-tcp", "line-over-udp"])
@pytest.mark.parametrize("port", ["127.0.0.1:99999", "a..b:502"])
async def test_no_address(kind, port):
    assert (await refused(kind=kind, port=port)).startswith(f"{port} is no address: ")


async def test_no_such_port():
    assert "no such port; `manovac ports` lists" in await refused(kind="serial", port="/dev/no-such-port")


@pytest.mark.parametrize("port", ["/dev/null", __file__])
async def test_what_is_no_serial_port(port):
    assert await refused(kind="serial", port=port) == f"{port}: this is no serial port"


async def test_a_path_through_a_file():
    assert "no such port" in await refused(kind="serial", port=f"{__file__}/x")


async def test_an_adapter_that_goes_away_is_named():
    class Lost:
        def __init__(self):
            self.why = asyncio.get_running_loop().create_future()

        def received(self, data):
            raise AssertionError

        def lost(self, why):
            self.why.set_result(why)

    host, device = os.openpty()
    path, receiver = os.ttyname(device), Lost()
    transport = transport_for(Bus.model_validate({"kind": "serial", "port": path}))
    await transport.connect(receiver)
    os.close(host)
    try:
        assert await receiver.why == f"{path}: unplugged, or another program reads it too"
    finally:
        transport.close()
        os.close(device)


async def test_a_format_that_the_port_cannot_do(monkeypatch):
    """Ptys refuse parity as some adapters do; here one is taken for an adapter."""
    host, device = os.openpty()
    try:
        monkeypatch.setattr(serial_port.SerialTransport, "_frame", lambda self: (7, "E", 1))
        said = await refused(kind="serial", port=os.ttyname(device), baud=9600, format="7E1")
    finally:
        os.close(host)
        os.close(device)
    assert "this port cannot do 9600 7E1" in said


async def test_a_pseudo_terminal_takes_any_format():
    host, device = os.openpty()
    try:
        transport = transport_for(Bus.model_validate({"kind": "serial", "port": os.ttyname(device), "format": "7E1"}))
        await transport.connect(_Nobody())
        transport.close()
    finally:
        os.close(host)
        os.close(device)
