"""Byte vectors of manuals and public clients: each must be understood, or built from the same values."""

import json
import struct
from pathlib import Path

import pytest

from firmware_sim.firmware.adam import Adam4117
from firmware_sim.firmware.alicat import Alicat
from firmware_sim.firmware.druck_terps import DruckTerps
from firmware_sim.firmware.generic_transmitter import GenericFloat, GenericInt
from firmware_sim.firmware.honeywell_hpb import HoneywellHpb
from firmware_sim.firmware.keller_33x import Channel, Keller33x
from firmware_sim.firmware.mensor_cpt import MensorCpt
from firmware_sim.firmware.mks_900 import Mks900
from firmware_sim.firmware.modbus_map import ModbusMap
from firmware_sim.firmware.paroscientific import Paroscientific
from firmware_sim.firmware.pfeiffer_telegram import Fault, PfeifferTelegram
from firmware_sim.firmware.pfeiffer_tpg26x import ACK, PfeifferTpg26x
from firmware_sim.firmware.vaisala_ptb330 import VaisalaPtb330
from firmware_sim.firmware.waveshare_8ch import Waveshare8ch
from firmware_sim.wire import keller_bus, modbus, pfeiffer

VECTORS = json.loads((Path(__file__).parents[2] / "golden" / "vectors.json").read_text())
COVERED = {
    "ADAM ASCII",
    "Mensor/WIKA",
    "Druck TERPS",
    "Alicat",
    "Honeywell HPB/PPT",
    "MKS 900",
    "Pfeiffer TPG 26x",
    "Pfeiffer telegram",
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
    "KJLC/Granville-Phillips",
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
    sensor.pressure_pa = 101_300.0
    assert ask(make(GenericInt, "generic-int"), BYTES["qdw-req"]) == BYTES["qdw-rep"]


def test_cheap_transmitter_with_a_float(make, ask, sensor):
    sensor.pressure_pa = 101_325.0
    assert (
        ask(make(GenericFloat, "generic-float"), modbus.join(1, struct.pack(">BHH", 3, 0x16, 2)))
        == BYTES["qdw-float-rep"]
    )


def test_vaisala_open(make, ask):
    twin = make(VaisalaPtb330, "vaisala-ptb330", unit=1)
    assert ask(twin, b"OPEN 1\r") == BYTES["ptb330-open"] + b">"


@pytest.mark.parametrize(("unit", "vector"), [(0, "terps-r"), (1, "terps-r1")])
def test_terps(make, ask, sensor, unit, vector):
    twin = make(DruckTerps, "druck-terps", unit=unit, range="0..200 kPa")
    assert b"1013.2500\r" in ask(twin, BYTES[vector])
    sensor.pressure_pa = 300e3
    assert ask(twin, BYTES[vector]).removeprefix(b"1:") == BYTES["terps-over"]


def test_mensor(make, ask, sensor):
    sensor.pressure_pa = 14.6960 * 6894.757293168
    assert ask(make(MensorCpt, "mensor-cpt", options={"unit": "psi"}), BYTES["mensor-req"]) == BYTES["mensor-rep"]


def test_paroscientific(make, ask, sensor):
    twin = make(Paroscientific, "paroscientific-6000")
    sensor.pressure_pa = 101_325.0
    assert ask(twin, b"*0100P3\r\n") == BYTES["paro-p3-rep"]
    assert ask(twin, BYTES["paro-q3-req"]) == b"*000122.500\r\n"
    assert ask(twin, BYTES["paro-un-set"]) == b"*0001UN=2\r\n"


def test_pfeiffer_pressure(make, ask, sensor):
    twin = make(PfeifferTelegram, "pfeiffer-telegram")
    sensor.pressure_pa = 1e5
    assert ask(twin, b"0010074002=?106\r") == BYTES["pv-740-rep-1"]
    assert ask(twin, BYTES["pv-741-set"]) == BYTES["pv-741-set"]


@pytest.mark.parametrize(("vector", "fault"), [("pv-303-err1", Fault.TRANSMITTER), ("pv-303-err2", Fault.MEMORY)])
def test_pfeiffer_faults(make, ask, vector, fault):
    twin = make(PfeifferTelegram, "pfeiffer-telegram")
    twin.fail(fault)
    assert ask(twin, b"0010030302=?101\r") == BYTES[vector]


def test_pfeiffer_refusal(make, ask):
    twin = make(PfeifferTelegram, "pfeiffer-telegram")
    twin.refuse(0)
    assert ask(twin, b"0010074202=?108\r") == BYTES["pv-nodef"]


def test_pfeiffer_unit_123_by_the_codec_alone_since_309_is_a_pumps():
    question = pfeiffer.split(BYTES["pv-309-req-123"].decode().rstrip())
    assert (question.unit, question.writes, question.parameter, question.data) == (123, False, 309, "=?")
    assert question.answer(123, "000633") == BYTES["pv-309-rep-123"]


def test_honeywell_pressure_up_to_the_length_of_the_number(make, ask, sensor):
    sensor.pressure_pa = 14.45 * 6894.757293168
    assert ask(make(HoneywellHpb, "honeywell-hpb", unit=0), b"*00P1\r") == BYTES["hpb-p1-rep"]
    sensor.pressure_pa = 14.32 * 6894.757293168
    heard = ask(make(HoneywellHpb, "honeywell-hpb", unit=12), b"*12P1\r")
    assert heard == BYTES["hpb-p1-rep12"].replace(b"14.32", b"14.320")


def test_mks(make, ask, sensor):
    twin = make(Mks900, "mks-900", unit=253)
    sensor.pressure_pa = 900 * 101_325 / 760
    assert ask(twin, BYTES["mks-pr1-req"]) == BYTES["mks-pr1-rep"]
    assert ask(twin, b"@253XX?;FF") == BYTES["mks-nak"]


def test_alicat(make, ask):
    assert ask(make(Alicat, "alicat"), BYTES["alicat-poll"]).startswith(b"A +014.696 ")


def test_tpg(make, ask, sensor):
    twin = make(PfeifferTpg26x, "pfeiffer-tpg26x")
    sensor.pressure_pa = 101_320.0
    assert ask(twin, BYTES["tpg-prx"]) == ACK
    assert ask(twin, b"\x05") == BYTES["tpg-prx-rep"]


def test_adam(make, ask):
    heard = ask(make(Adam4117, "adam-4117", channel=1, range="0..160 kPa"), BYTES["adam-ai-req"])
    assert heard.startswith(b">+14.133+00.000")


EXCHANGES = {
    "adam-ai-req",
    "mensor-req",
    "mensor-rep",
    "terps-r",
    "terps-r1",
    "terps-over",
    "tpg-prx",
    "tpg-prx-rep",
    "alicat-poll",
    "hpb-p1-rep",
    "hpb-p1-rep12",
    "mks-nak",
    "mks-pr1-rep",
    "mks-pr1-req",
    "pv-303-err1",
    "pv-303-err2",
    "pv-740-rep-1",
    "pv-741-set",
    "pv-nodef",
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
CODEC = {"pv-309-req-123", "pv-309-rep-123", "keller-f73-p2-1-req", "keller-f73-p2-1-rep", "ws-read8-rep"}
