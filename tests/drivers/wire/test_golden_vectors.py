"""Each golden vector of our families, built or taken apart by our codecs."""

import asyncio
import struct

import numpy as np
import pytest

from drivers.exchange import Request
from drivers.model import Driver
from drivers.models.vaisala_ptb330 import MODEL as VAISALA
from drivers.reading import Reason
from drivers.registry import model
from drivers.wire.keller_bus import (
    INITIALISE,
    NOT_INITIALISED,
    READ_COEFFICIENT,
    READ_FLOAT,
    READ_INTEGER,
    READ_SERIAL_NUMBER,
    data_of,
    keller_request,
)
from drivers.wire.modbus import PAYLOAD_AT, echo_test, read_registers, registers_of
from drivers.wire.pfeiffer import data_of as parameter_of
from drivers.wire.pfeiffer import expo, read_parameter
from tests.drivers.models.asks import Script, bus, transducer
from tests.drivers.wire.vectors import ALL, MINE, NOT_YET, OURS


def driver_of(name: str, unit: int) -> Driver:
    return model(name).driver(unit, {"p": transducer(name)}, bus())


PARO = model("paroscientific-6000").driver(1, {"p": transducer("paroscientific-6000")}, bus())
P3, Q3 = PARO.requests
PFEIFFER_HEALTH, PFEIFFER_PRESSURE = driver_of("pfeiffer-telegram", 1).requests
PUMP = read_parameter(123, 309, rb"\d{6}", 6)
ADAM = model("adam-4117").driver(1, {"p": transducer("adam-4117", channel=1, range="0..160 kPa")}, bus())
TPG = driver_of("pfeiffer-tpg26x", 1).requests[0]
MKS_STATE = driver_of("mks-900", 253).requests[0]
TERPS = driver_of("druck-terps", 0)
MENSOR = model("mensor-cpt").driver(1, {"p": transducer("mensor-cpt", options={"unit": "psi"})}, bus())

QUESTIONS: dict[str, Request] = {
    "keller-f73-p1-250-req": keller_request(250, READ_FLOAT, b"\x01"),
    "keller-f73-p1-1-req": keller_request(1, READ_FLOAT, b"\x01"),
    "keller-f73-p2-1-req": keller_request(1, READ_FLOAT, b"\x02"),
    "keller-f73-tob1-250-req": keller_request(250, READ_FLOAT, b"\x04"),
    "keller-f73-tob1-1-req": keller_request(1, READ_FLOAT, b"\x04"),
    "keller-f48-1-req": keller_request(1, INITIALISE),
    "keller-f48-2-req": keller_request(2, INITIALISE),
    "keller-f69-req": keller_request(1, READ_SERIAL_NUMBER),
    "keller-f30-80-req": keller_request(1, READ_COEFFICIENT, b"\x50"),
    "keller-mb-p1-req": read_registers(1, 3, 0x0002, 2),
    "keller-mb-p1tob1-req": read_registers(1, 3, 0x0100, 4),
    "keller-mb-echo-req": echo_test(1, 0xA55A),
    "ws-types-req": read_registers(1, 3, 0x1000, 8),
    "qdw-req": read_registers(1, 3, 2, 3),
    "paro-q3-req": Q3,
    "pv-309-req-123": PUMP,
    "tpg-prx": TPG,
    "adam-ai-req": ADAM.requests[0],
    "alicat-poll": driver_of("alicat", 1).requests[0],
    "mensor-req": MENSOR.requests[0],
}
NEVER_ASKED = {
    "tpg-prx-rep",  # it stands behind an ACK, see below
    "paro-un-set",  # settings are read, never written
    "pv-741-set",
    "mks-pr1-req",  # PR4 has one digit more
    "mks-pr1-rep",
    "terps-r",  # *R brings the unit too
    "terps-r1",
}

# The question that the answer answers, and what stands in it: a refusal's code, floats, or registers.
F73 = keller_request(1, READ_FLOAT, b"\x01")
FLOAT = read_registers(1, 3, 2, 2)
ANSWERS: dict[str, tuple[Request, object]] = {
    "keller-f73-p1-1-rep": (F73, (0.928487, 0)),
    "keller-f73-p2-1-rep": (F73, (0.9285117, 0)),
    "keller-f73-tob1-250-rep": (keller_request(250, READ_FLOAT, b"\x04"), (25.21484, 0)),
    "keller-f73-tob1-1-rep": (F73, (25.28979, 0)),
    "keller-f73-over": (F73, (np.inf, 2)),
    "keller-f73-nan": (F73, (np.nan, 2)),
    "keller-f30-81-rep": (keller_request(1, READ_COEFFICIENT, b"\x51"), (2.0,)),
    "keller-f74-p1-rep": (keller_request(1, READ_INTEGER, b"\x01"), 101325),
    "keller-exc-32": (F73, {"refusal": NOT_INITIALISED}),
    "keller-mb-p1tob1-rep": (read_registers(1, 3, 0x0100, 4), (1.01325, 22.5)),
    "keller-mb-nan": (FLOAT, (np.nan,)),
    "keller-mb-over": (FLOAT, (np.inf,)),
    "qdw-float-rep": (read_registers(1, 3, 0x16, 2), (101.325,)),
    "mb-exc-2": (FLOAT, {"refusal": 2}),
    "ws-types-rep": (read_registers(1, 3, 0x1000, 8), [2] * 8),
    "ws-read8-rep": (read_registers(1, 4, 0, 8), [12000, 4000, 3500, 21000, 0, 0, 0, 0]),
    "qdw-rep": (read_registers(1, 3, 2, 3), [1, 1, 1013]),
    "paro-p3-rep": (P3, 1013.25),
    "pv-740-rep-1": (PFEIFFER_PRESSURE, 1.0e3),
    "pv-303-err1": (PFEIFFER_HEALTH, b"Err001"),
    "pv-303-err2": (PFEIFFER_HEALTH, b"Err002"),
    "pv-nodef": (read_parameter(1, 742, rb"\d{6}", 6), {"refusal": 0}),
    "pv-309-rep-123": (PUMP, b"000633"),
    "hpb-p1-rep": (driver_of("honeywell-hpb", 0).requests[0], 14.45),
    "hpb-p1-rep12": (driver_of("honeywell-hpb", 12).requests[0], 14.32),
    "mks-nak": (MKS_STATE, {"refusal": 160}),
    "terps-over": (TERPS.requests[0], Reason.SATURATED_HIGH),
    "mensor-rep": (MENSOR.requests[0], 14.696),
    "ptb330-open": (VAISALA.hail(1) if VAISALA.hail else P3, "Vaisala PTB330"),
}


def test_no_family_is_forgotten() -> None:
    assert {vector.device for vector in ALL.values()} == OURS | NOT_YET


def test_each_vector_of_our_families_is_tested() -> None:
    assert set(MINE) == {*QUESTIONS, *ANSWERS, *NEVER_ASKED}


@pytest.mark.parametrize("name", QUESTIONS)
def test_question_is_built_byte_for_byte(name: str) -> None:
    assert QUESTIONS[name].frame == MINE[name].data


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_is_measured_at_its_length_only(name: str) -> None:
    request, data = ANSWERS[name][0], MINE[name].data
    assert request.measure(data, 0) == len(data)
    assert request.measure(b"\xff\n" + data + b"\x01", 2) == len(data)
    assert request.measure(data[:-1], 0) == -1


@pytest.mark.parametrize("name", [name for name, (_, content) in ANSWERS.items() if isinstance(content, dict)])
def test_refusal_gives_its_code(name: str) -> None:
    request, content = ANSWERS[name]
    assert {"refusal": request.refusal(MINE[name].data)} == content


@pytest.mark.parametrize("name", [name for name, (_, content) in ANSWERS.items() if isinstance(content, list)])
def test_registers_of_an_answer(name: str) -> None:
    request, content = ANSWERS[name]
    assert request.refusal(MINE[name].data) is None
    assert registers_of(MINE[name].data).tolist() == content


@pytest.mark.parametrize("name", [name for name, (_, content) in ANSWERS.items() if isinstance(content, tuple)])
def test_floats_of_an_answer(name: str) -> None:
    request, content = ANSWERS[name]
    data = MINE[name].data
    assert request.refusal(data) is None
    if MINE[name].device == "KELLER bus":
        read = struct.unpack(">f" + "B" * (len(content) - 1), data_of(data))
    else:
        read = tuple(np.frombuffer(data, ">f4", len(content), PAYLOAD_AT))
    np.testing.assert_allclose(read, content, rtol=1e-6)
    if MINE[name].number:
        assert MINE[name].number[1] == pytest.approx(content[0])


def test_integer_of_the_keller_bus() -> None:
    assert int.from_bytes(data_of(MINE["keller-f74-p1-rep"].data)[:4], "big") == ANSWERS["keller-f74-p1-rep"][1]


def test_opened_line_of_a_vaisala_is_recognised() -> None:
    assert VAISALA.recognise is not None
    assert VAISALA.recognise(MINE["ptb330-open"].data) == ANSWERS["ptb330-open"][1]


def test_pressure_of_a_paroscientific() -> None:
    script = Script({P3.frame: MINE["paro-p3-rep"].data, Q3.frame: b"*000122.50\r\n"})
    assert asyncio.run(PARO.poll(script)).values.tolist() == [ANSWERS["paro-p3-rep"][1], 22.5]


@pytest.mark.parametrize("name", [name for name, (_, content) in ANSWERS.items() if isinstance(content, bytes)])
def test_data_of_a_telegram(name: str) -> None:
    assert parameter_of(MINE[name].data) == ANSWERS[name][1]


def test_pressure_of_a_telegram_in_hpa() -> None:
    assert expo(parameter_of(MINE["pv-740-rep-1"].data)) == pytest.approx(ANSWERS["pv-740-rep-1"][1])


@pytest.mark.parametrize(("name", "unit"), [("hpb-p1-rep", 0), ("hpb-p1-rep12", 12)])
def test_pressure_of_a_honeywell(name: str, unit: int) -> None:
    script = Script({b"*%02dP1\r" % unit: MINE[name].data})
    family = driver_of("honeywell-hpb", unit)
    scale = b"?01M=0017psia\r" if unit == 0 else b"#12M=0017psia\r"
    head = scale[:3]
    session = {b"*%02dM=\r" % unit: scale} | {
        b"*%02d%s\r" % (unit, asked): head + told
        for asked, told in ((b"V=", b"V=1\r"), (b"RS", b"RS=0000\r"), (b"S=", b"S=1\r"))
    }
    asyncio.run(family.identify(Script(session)))
    assert asyncio.run(family.poll(script)).values[0] == ANSWERS[name][1]


def test_words_of_a_terps_are_graded() -> None:
    poll = asyncio.run(TERPS.poll(Script({b" *R\r": MINE["terps-over"].data})))
    assert [Reason(code) for code in poll.reasons] == [ANSWERS["terps-over"][1]]


def test_pressure_of_a_mensor() -> None:
    poll = asyncio.run(MENSOR.poll(Script({MINE["mensor-req"].data: MINE["mensor-rep"].data})))
    assert poll.values.tolist() == [ANSWERS["mensor-rep"][1]]


def test_pressure_of_a_tpg_stands_behind_its_ack() -> None:
    answer = b"\x06\r\n" + MINE["tpg-prx-rep"].data
    assert TPG.measure(answer, 0) == len(answer)
    poll = asyncio.run(driver_of("pfeiffer-tpg26x", 1).poll(Script({TPG.frame: answer})))
    assert poll.values.tolist() == [1013.2]
