"""A public client of Advantech modules reads the emulated one in datagrams, and fails when that is made to fail."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from adam_ascii.interface import AdamConnection, AdamConnectionError, adam_connection_context

from firmware_sim.fleet import Fleet
from firmware_sim.testing import emulated
from tests.end_to_end.virtual_station import FALLING, rig

ACCEPTS: Final = {"adam-ascii": ("adam-6017",)}
"""Program -> models whose twins it reads here; docs/devices.md lists them."""
TRANSDUCER: dict[str, Any] = {"model": "adam-6017", "channel": 3, "segment": FALLING, "range": "0..160 kPa"}
RIG = rig({"kind": "line-over-udp"}, {"p1": TRANSDUCER}, emulator={"seed": 1, "pressure": "80 kPa", "grade": "A"})
Bench = tuple[Fleet, AdamConnection]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with emulated(RIG) as fleet:
        host, _, port = fleet.ports["b"].partition(":")
        async with adam_connection_context(host, int(port), timeout=0.5) as client:
            yield fleet, client


async def test_it_reads_name_and_currents(bench: Bench) -> None:
    _, client = bench
    assert await client.get_adam_model() == "6017"
    currents = await client.get_adam_analog_inputs()
    assert currents == [0, 0, pytest.approx(12.0, abs=0.01), 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("silence:p1", AdamConnectionError),
        ("exception:p1", AssertionError),
        ("truncate:p1,bytes=20", AssertionError),
        ("noise:p1,before=2", (AssertionError, UnicodeDecodeError)),
    ],
)
async def test_it_fails_on_a_planted_fault(bench: Bench, fault: str, error: Any) -> None:
    fleet, client = bench
    assert await client.get_adam_analog_inputs()
    fleet.faults.inject(fault)
    with pytest.raises(error):
        await client.get_adam_analog_inputs()


async def test_it_cannot_see_another_modules_currents(bench: Bench) -> None:
    """The answer to the question before it, one late: the client takes it for its own, the bus of ours does not."""
    fleet, client = bench
    fleet.faults.inject("late:p1@#1,delay=700ms")
    with pytest.raises(AdamConnectionError):
        await client.get_adam_model()
    with pytest.raises(AssertionError, match="!016017"):
        await client.get_adam_analog_inputs()
