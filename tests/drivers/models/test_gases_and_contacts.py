"""Gases and contacts by `modbus-map`: our driver reads the twin, which feels them in an emulated station."""

import numpy as np
import pytest

from drivers.models.modbus_map import ModbusMap
from drivers.reading import Reason
from drivers.rig import Bus, BusKind, Rig
from drivers.rig_source import check_rig
from firmware_sim.firmware.modbus_map import ModbusMap as Twin
from firmware_sim.physics.setting import Passage
from firmware_sim.physics.world import World
from tests.drivers.models.asks import Emulated, assert_fences_are_of_their_own_kind

BUS = Bus(kind=BusKind.SERIAL, port="-")
ROUND = {"scale": -1, "offset": 1}
S = 1_000_000_000


def rig(**maps):
    """Two segments and a hatch; one transducer for each map, the contact's is `switch`."""
    return Rig.model_validate(
        {
            "station": {"id": "s", "gateway": "g"},
            "segment": {"prk": {"volume": "6 m3"}, "lab": {"volume": "90 m3"}},
            "hatch": [{"between": ["prk", "lab"], "state": "open", "contact": "switch"}],
            "bus": {"b": {"kind": "serial", "port": "-"}},
            "transducer": {
                name: {"model": "modbus-map", "bus": "b", "segment": "prk", "map": words}
                for name, words in maps.items()
            },
            "emulator": {"grade": "B"},
        }
    )


def pair(words):
    world, transducers = World(words), dict(words.transducers)
    sensors = {name: world.sensor(name) for name in transducers}
    twin = Twin(unit=1, bus=BUS, transducers=transducers, sensors=sensors)
    return ModbusMap(1, transducers, BUS), twin, world


async def test_partial_pressures_are_those_of_the_air_with_a_grade_of_noise():
    words = rig(
        gas={
            "partial_o2": {"address": 0, "unit": "mmHg"},
            "partial_co2": {"address": 2, "type": "uint16", "unit": "Pa"},
            "partial_h2o": {"address": 3, "type": "float32", "unit": "hPa"},
        }
    )
    driver, twin, world = pair(words)
    ask = Emulated(twin)
    found = np.array([(await driver.poll(ask)).values for _ in range(50)])
    truth = world.partial_pa("prk", 0)
    units = np.array([133.322387415, 1.0, 100.0])
    expected = np.array([truth["O2"], truth["CO2"], truth["H2O"]])
    assert np.abs(found.mean(axis=0) * units - expected).max() < 1.0
    assert (found.std(axis=0) * units).min() > 0.5, "noise of grade B is 1 Pa"
    assert [channel.quantity for channel in driver.channels] == ["partial_o2", "partial_co2", "partial_h2o"]
    assert not words.transducers["gas"].measures_pressure


@pytest.mark.parametrize(
    "at",
    [
        {"function": 2, "address": 9},
        {"function": 1, "address": 0},
        {"function": 2, "address": 3, **ROUND},
        {"address": 4, "bit": 13},
        {"function": 4, "address": 4, "bit": 0, **ROUND},
    ],
    ids=str,
)
async def test_a_contact_follows_its_hatch(at):
    driver, twin, world = pair(rig(switch={"contact": at}))
    world.move_hatch("prk--lab", Passage.CLOSED, 10 * S)
    world.move_hatch("prk--lab", Passage.VALVE, 20 * S)
    world.move_hatch("prk--lab", Passage.OPEN, 30 * S)
    ask = Emulated(twin)
    for at_s, value in ((5, 1), (15, 0), (25, 0), (35, 1)):
        ask.now_s = at_s
        poll = await driver.poll(ask)
        assert poll.reasons.tolist() == [Reason.NONE]
        assert poll.values.tolist() == [value], f"at {at_s} s"
    assert_fences_are_of_their_own_kind(driver)


async def test_many_bits_come_in_one_question_and_bits_of_one_register_in_one_register():
    inputs = {f"i{number}": {"contact": {"function": 2, "address": number}} for number in range(10)}
    driver, twin, _ = pair(rig(switch={"contact": {"function": 2, "address": 10, **ROUND}}, **inputs))
    assert len(driver.requests) == 1
    poll = await driver.poll(Emulated(twin))
    assert poll.values.tolist() == [1.0, *[0.0] * 10], "only the switch is at a hatch"
    bits = {f"r{number}": {"contact": {"address": 7, "bit": number}} for number in (0, 3, 15)}
    driver, twin, _ = pair(rig(switch={"contact": {"address": 7, "bit": 4}}, **bits))
    poll = await driver.poll(Emulated(twin))
    assert poll.values.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert_fences_are_of_their_own_kind(driver)


HEAD = """
[station]
id = "s"
gateway = "g"
[segment.a]
[segment.b]
[bus.l]
kind = "serial"
port = "/dev/ttyUSB0"
[transducer.p]
model = "keller-33x"
bus = "l"
segment = "b"
range = "0..160 kPa"
[transducer.x]
model = "modbus-map"
bus = "l"
unit = 2
segment = "a"
"""


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("map.contact = { function = 2, address = 0 }", "this contact is at no hatch"),
        ("map.contact = { function = 2, address = 0, unit = 'Pa' }", "a contact has no unit"),
        ("map.contact = { address = 0 }", "a contact is one bit"),
        ("map.contact = { function = 1, address = 0, bit = 3 }", "function 1 reads single bits: 'bit' says nothing"),
        ("map.contact = { function = 1, address = 0, scale = 2 }", "a contact is 0 or 1"),
        ("map.partial_o2 = { address = 0 }", "missing key 'unit'"),
        ("map.partial_o2 = { address = 0, unit = 'C' }", "unit: 'C' is a unit of temperature, not of pressure"),
        ("map.partial_o2 = { function = 2, address = 0, unit = 'Pa' }", "a single bit is no partial_o2"),
        ("map.partial_ar = { address = 0, unit = 'Pa' }", "has no quantity 'partial_ar'"),
        (
            "map.partial_o2 = { address = 0, unit = 'Pa' }\n[[hatch]]\nbetween = ['a', 'b']\ncontact = 'x'",
            "transducer 'x' has no contact",
        ),
        (
            "map.partial_o2 = { address = 0, unit = 'Pa' }\n[[hatch]]\nbetween = ['a', 'b']\ncontact = 'y'",
            "no transducer named 'y'",
        ),
    ],
)
def test_what_does_not_fit_is_told(words, complaint):
    told = [problem.message for problem in check_rig(HEAD + words, "x.toml").problems]
    assert any(complaint in message for message in told), told


def test_a_contact_at_its_hatch_passes_and_two_hatches_cannot_share_it():
    contact = "map.contact = { function = 2, address = 0 }\n"
    hatch = "[[hatch]]\nbetween = ['a', 'b']\ncontact = 'x'\n"
    checked = check_rig(HEAD + contact + hatch, "x.toml")
    assert checked.rig is not None
    assert not checked.problems
    more = hatch.replace("'b'", "'c'") + "[segment.c]\n"
    told = [problem.message for problem in check_rig(HEAD + contact + hatch + more, "x.toml").problems]
    assert any("transducer 'x' is the contact of the hatch in line" in message for message in told), told
