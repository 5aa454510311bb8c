"""The maker's own client for the KELLER bus reads the emulated transmitter, and fails when something is wrong."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pytest
from keller_protocol.keller_protocol import KellerProtocol

from drivers.rig import Rig
from firmware_sim.firmware import keller_33x
from firmware_sim.testing import emulated
from firmware_sim.wire.keller_bus import float_value

_T = TypeVar("_T")
ACCEPTS: Final = {"keller-protocol": ("keller-33x", "keller-bus")}
"""Program -> models whose twins it reads here; docs/devices.md lists them."""
RIG: Final = Rig.model_validate(
    {
        "station": {"id": "iss", "gateway": "pi1"},
        "segment": {"s": {}},
        "bus": {"b": {"kind": "serial", "port": "-", "baud": 9600}},
        "transducer": {
            "p1": {"model": "keller-bus", "bus": "b", "segment": "s", "serial_number": 123456, "range": "0..200 kPa"}
        },
        "emulator": {"grade": "A", "pressure": "90 kPa", "temperature": "21 C"},
    }
)


async def with_client(act: Callable[[KellerProtocol], _T], *, echo: bool = True, **more: Any) -> _T:
    """Let a client act in a thread, on a pty whose adapter hears what it sends: the client expects that."""
    async with emulated(RIG, echo={"b"} if echo else (), **more) as fleet:
        return await asyncio.to_thread(lambda: act(KellerProtocol(fleet.ports["b"], timeout=0.5)))


def initialised(client: KellerProtocol) -> KellerProtocol:
    client.f48(1)
    return client


async def test_it_initialises_identifies_and_reads_both_channels() -> None:
    def act(client: KellerProtocol) -> tuple[Any, ...]:
        firmware = client.f48(1)
        channels = client.f73(1, 1), client.f73(1, 4), client.f74(1, 1)
        return firmware, client.f69(250), *channels, client.f30(1, 80), client.f30(1, 81)

    firmware, number, bar, celsius, pascal, low, high = await with_client(act)
    assert (firmware, number, low, high) == ("5.20-12.28", 123456, 0.0, 2.0)
    assert bar == pytest.approx(0.9, abs=1e-3)
    assert celsius == pytest.approx(21.0, abs=0.5)
    assert pascal == pytest.approx(90_000, abs=100)


async def test_it_changes_the_address() -> None:
    def act(client: KellerProtocol) -> tuple[int, int]:
        return initialised(client).f66(1, 9), client.f69(9)

    assert await with_client(act) == (9, 123456)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("crc:p1", "CRC16"),
        ("silence:p1", "did not respond"),
        ("exception:p1,code=4", "Error number"),
        ("truncate:p1,bytes=4", "CRC16|respond|length"),
    ],
)
async def test_it_fails_on_a_planted_fault(fault: str, message: str) -> None:
    with pytest.raises(Exception, match=message):  # the client raises plain exceptions
        await with_client(lambda client: client.f48(1), faults=[fault])


async def test_it_sees_when_the_words_are_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped(value: float, status: int) -> bytes:
        data = float_value(value, status)
        return data[2:4] + data[:2] + data[4:]

    monkeypatch.setattr(keller_33x.keller_bus, "float_value", swapped)
    bar = await with_client(lambda client: initialised(client).f73(1, 1))
    assert bar != pytest.approx(0.9, rel=0.1)


async def test_it_fails_before_f48_and_without_echo() -> None:
    with pytest.raises(Exception, match="Error number"):
        await with_client(lambda client: client.f73(1, 1))
    with pytest.raises(Exception, match="Echo not present"):
        await with_client(lambda client: client.f48(1), echo=False)
