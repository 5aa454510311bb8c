"""Byte vectors of manuals and public clients: each must be understood, or built from the same values."""

import json
import struct
from pathlib import Path

import pytest

from firmware_sim.firmware.keller_33x import Channel, Keller33x
from firmware_sim.firmware.modbus_map import ModbusMap
from firmware_sim.firmware.paroscientific import Paroscientific
from firmware_sim.firmware.vaisala_ptb330 import VaisalaPtb330
from firmware_sim.firmware.waveshare_8ch import Waveshare8ch
from firmware_sim.wire import keller_bus, modbus

VECTORS = json.loads((Path(__file__).parents[2] / "golden" / "vectors.json").read_text())
COVERED = {
    "KELLER bus",
    "KELLER Modbus",
    "any Modbus",
    "Waveshare 8CH",
    "QDW90A class",
    "QDW90A class, float variant",
    "Vaisala PTB330",
    "Paroscientific",
}
LATER = {
    "ADAM ASCII",
    "Alicat",
    "Druck TERPS",
    "Honeywell HPB/PPT",
    "KJLC/Granville-Phillips",
    "MKS 900",
    "Mensor/WIKA",
    "Pfeiffer TPG 26x",
    "Pfeiffer telegram",
}
BYTES = {
    vector["id"]: bytes.fromhex(vector["hex"]) if "hex" in vector else vector["text"].encode()
    for vector in VECTORS
    if vector["device"] in COVERED
}


def test_every_family_of_the_file_is_covered_here_or_named_as_later():
    assert {vector["device"] for vector in VECTORS} == COVERED | LATER
    assert not COVERED & LATER


def test_every_vector_of_the_covered_families_is_checked_here():
    assert len(BYTES) == len([vector for vector in VECTORS if vector["device"] in COVERED])
    assert set(BYTES) == set(KELLER) | set(EXCHANGES) | set(CODEC)


@pytest.fixture
def keller(make, ask):
    twin = make(Keller33x, "keller-33x", range="0..200 kPa")
    ask(twin, keller_bus.join(1, 48, b""))
    return twin


# id -> (question, answer or None when the file has none, pressure in bar, temperature in C)
KELLER = {
    "keller-f73-p1-250-req": ("keller-f73-p1-250-req", None, 1.0, 20.0),
    "keller-f73-p1-1-req": ("keller-f73-p1-1-req", "keller-f73-p1-1-rep", 0.928487, 20.0),
    "keller-f73-p1-1-rep": ("keller-f73-p1-1-req", "keller-f73-p1-1-rep", 0.928487, 20.0),
    "keller-f73-tob1-250-req": ("keller-f73-tob1-250-req", "keller-f73-tob1-250-rep", 1.0, 25.21484375),
    "keller-f73-tob1-250-rep": ("keller-f73-tob1-250-req", "keller-f73-tob1-250-rep", 1.0, 25.21484375),
    "keller-f73-tob1-1-req": ("keller-f73-tob1-1-req", "keller-f73-tob1-1-rep", 1.0, 25.289794921875),
    "keller-f73-tob1-1-rep": ("keller-f73-tob1-1-req", "keller-f73-tob1-1-rep", 1.0, 25.289794921875),
    "keller-f48-1-req": ("keller-f48-1-req", None, 1.0, 20.0),
    "keller-f69-req": ("keller-f69-req", None, 1.0, 20.0),
    "keller-f30-80-req": ("keller-f30-80-req", None, 1.0, 20.0),
    "keller-f74-p1-rep": (b"\x01\x4a\x01", "keller-f74-p1-rep", 1.01325, 20.0),
    "keller-f30-81-rep": (b"\x01\x1e\x51", "keller-f30-81-rep", 1.0, 20.0),
    "keller-f73-over": ("keller-f73-p1-1-req", "keller-f73-over", 5.0, 20.0),
    "keller-mb-p1-req": ("keller-mb-p1-req", None, 1.0, 20.0),
    "keller-mb-over": ("keller-mb-p1-req", "keller-mb-over", 5.0, 20.0),
    "keller-mb-p1tob1-req": ("keller-mb-p1tob1-req", "keller-mb-p1tob1-rep", 1.01325, 22.5),
    "keller-mb-p1tob1-rep": ("keller-mb-p1tob1-req", "keller-mb-p1tob1-rep", 1.01325, 22.5),
    "keller-mb-echo-req": ("keller-mb-echo-req", "keller-mb-echo-req", 1.0, 20.0),
}


@pytest.mark.parametrize("vector", KELLER)
def test_keller(keller, sensor, ask, vector):
    question, answer, bar, celsius = KELLER[vector]
    sensor.pressure_pa, sensor.temperature_k = bar * 1e5, celsius + 273.15
    data = BYTES[question] if isinstance(question, str) else keller_bus.join(question[0], question[1], question[2:])
    heard = ask(keller, data)
    assert heard[0] == data[0]
    assert heard[1] == data[1]
    assert answer is None or heard == BYTES[answer]


def test_keller_exception_32(make, ask):
    assert ask(make(Keller33x, "keller-33x"), BYTES["keller-f73-p1-1-req"]) == BYTES["keller-exc-32"]


def test_keller_failed_channel(keller, ask):
    keller.fail(Channel.P1)
    assert ask(keller, BYTES["keller-f73-p1-1-req"]) == BYTES["keller-f73-nan"]
    assert ask(keller, BYTES["keller-mb-p1-req"]) == BYTES["keller-mb-nan"]


def test_keller_unit_2(make, ask):
    assert ask(make(Keller33x, "keller-33x", unit=2), BYTES["keller-f48-2-req"])[:2] == b"\x02\x30"


def test_keller_second_pressure_by_the_codec_alone():
    question = keller_bus.split(BYTES["keller-f73-p2-1-req"])
    assert (question.unit, question.function, question.data) == (1, 73, b"\x02")
    assert question.answer(keller_bus.float_value(0.92851174, 0)) == BYTES["keller-f73-p2-1-rep"]


def test_exception_2_for_an_address_that_is_not_there(make, ask):
    twin = make(ModbusMap, "modbus-map", map={"pressure": {"address": 0, "unit": "kPa"}})
    assert ask(twin, modbus.join(1, struct.pack(">BHH", 3, 7, 1))) == BYTES["mb-exc-2"]


def test_waveshare_types(make, ask):
    twin = make(Waveshare8ch, "waveshare-8ch", channel=1, range="0..160 kPa")
    assert ask(twin, BYTES["ws-types-req"]) == BYTES["ws-types-rep"]


def test_waveshare_inputs_by_the_codec_alone_since_3_500_ma_is_no_step_of_12_bit():
    read = modbus.parse(struct.pack(">BHH", 4, 0, 8), frozenset({modbus.Function.READ_INPUT}))
    registers = struct.pack(">8H", 12000, 4000, 3500, 21000, 0, 0, 0, 0)
    assert modbus.join(1, read.answer(registers)) == BYTES["ws-read8-rep"]


def test_cheap_transmitter_with_unit_decimals_and_value(make, ask, sensor):
    register = {"address": 4, "type": "int16", "scale": 0.1, "unit": "kPa"}
    twin = make(ModbusMap, "modbus-map", map={"pressure": register})
    twin.hold(3, 2, 1, 1)
    sensor.pressure_pa = 101_300.0
    assert ask(twin, BYTES["qdw-req"]) == BYTES["qdw-rep"]


def test_cheap_transmitter_with_a_float(make, ask, sensor):
    twin = make(ModbusMap, "modbus-map", map={"pressure": {"address": 0x16, "unit": "kPa"}})
    sensor.pressure_pa = 101_325.0
    assert ask(twin, modbus.join(1, struct.pack(">BHH", 3, 0x16, 2))) == BYTES["qdw-float-rep"]


def test_vaisala_open(make, ask):
    twin = make(VaisalaPtb330, "vaisala-ptb330", unit=1)
    assert ask(twin, b"OPEN 1\r") == BYTES["ptb330-open"] + b">"


def test_paroscientific(make, ask, sensor):
    twin = make(Paroscientific, "paroscientific-6000")
    sensor.pressure_pa = 101_325.0
    assert ask(twin, b"*0100P3\r\n") == BYTES["paro-p3-rep"]
    assert ask(twin, BYTES["paro-q3-req"]) == b"*000122.500\r\n"
    assert ask(twin, BYTES["paro-un-set"]) == b"*0001UN=2\r\n"


EXCHANGES = {
    "keller-exc-32",
    "keller-f73-nan",
    "keller-mb-nan",
    "keller-f48-2-req",
    "mb-exc-2",
    "ws-types-req",
    "ws-types-rep",
    "qdw-req",
    "qdw-rep",
    "qdw-float-rep",
    "ptb330-open",
    "paro-p3-rep",
    "paro-q3-req",
    "paro-un-set",
}
CODEC = {"keller-f73-p2-1-req", "keller-f73-p2-1-rep", "ws-read8-rep"}
