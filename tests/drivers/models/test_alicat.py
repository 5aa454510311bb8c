"""Alicat: frames as the device describes them, in two dialects, or as the rig file does; flags; columns that moved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.alicat import MODEL, Options
from drivers.reading import Reason
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

POLL, VERSION, COLUMNS, MAKER = b"A\r", b"AVE\r", b"A??D*\r", b"A??M*\r"
# the forms of a meter with firmware 10v04 and of a controller with 5v12, as a public client captured them
DESCRIBED = (
    b"A D00 ID_ NAME______________________ TYPE_______ WIDTH NOTES___________________\r"
    b"A D01 700 Unit ID                    string          1\r"
    b"A D02 002 Abs Press                  s decimal     7/3 010 02 PSIA\r"
    b"A D03 003 Flow Temp                  s decimal     7/2 002 02 `C\r"
    b"A D04 004 Volu Flow                  s decimal     7/3 007 02 LPM\r"
    b"A D05 005 Mass Flow                  s decimal     7/3 007 02 SLPM\r"
    b"A D06 703 Gas                        string          6\r"
    b"A D07 701 *Error                     string          3 ADC\r"
    b"A D08 702 *Status                    string          3 OPL\r"
    b"A D19 702 *Status                    string          3 LCK\r"
)
DESCRIBED_BEFORE = (
    b"A  D00 NAME_______ TYPE_____ MinVal_  MaxVal_  UNITS__\r"
    b"A  D01 Unit ID     char         A         Z         na\r"
    b"A  D02 Pressure    signed    +000.00  +160.00     PSIA\r"
    b"A  D03 Temperature signed    -010.00  +050.00        C\r"
    b"A  D04 Volumetric  signed    +0000.0  +0500.0      CCM\r"
    b"A  D05 Mass        signed    +0000.0  +0500.0     SCCM\r"
    b"A  D06 SetPoint    signed    +0000.0  +0500.0     SCCM\r"
    b"A  D07 Gas         string        Air       D2       na\r"
    b"A  D08 Error       string         na      ADC       na\r"
    b"A  D14 Status      string         na      MOV       na\r"
)
FRAME = b"A +14.633 +022.97 -00.034 -00.034    Air\r"
MAKER_ROWS = (
    *(b"ALICAT SCIENTIFIC", b"www", b"Ph", b"Fax", b"Model Number M-1", b"Serial Number 225873"),
    *(b"Date Manufactured", b"Date Calibrated", b"Calibrated By BL", b"Software Revision 8v17"),
)
ANSWERS = {
    POLL: FRAME,
    VERSION: b"A   10v04.0-R24 Jan  9 2025,15:04:07\r",
    COLUMNS: DESCRIBED,
    MAKER: b"".join(b"A  M%02d %s\r" % row for row in enumerate(MAKER_ROWS)),
}


def driver(unit: int = 1, **words: object) -> Driver:
    return MODEL.driver(unit, {"p": transducer(MODEL.name, **words)}, bus())


async def identified(answers: dict[bytes, bytes] = ANSWERS, **words: object) -> Driver:
    unit = driver(**words)
    assert (await unit.identify(Script(answers))).reason is Reason.NONE
    return unit


async def test_a_frame_brings_pressure_and_temperature() -> None:
    script = Script(ANSWERS)
    poll = await (await identified()).poll(script)
    assert [channel.unit.symbol for channel in poll.channels] == ["psia", "C"]
    assert poll.values.tolist() == [14.633, 22.97]
    assert poll.reasons.tolist() == [Reason.NONE] * 2
    assert script.asked == [POLL]


async def test_the_older_dialect_is_understood() -> None:
    answers = {**ANSWERS, COLUMNS: DESCRIBED_BEFORE, POLL: b"A +014.52 +021.50 +0000.1 +0000.2 0116.3      N2\r"}
    poll = await (await identified(answers)).poll(Script(answers))
    assert poll.values.tolist() == [14.52, 21.5]


@pytest.mark.parametrize(
    ("flags", "reasons", "values"),
    [
        (b" POV", [Reason.SATURATED_HIGH, Reason.NONE], 2),
        (b" MOV OPL", [Reason.SATURATED_HIGH, Reason.NONE], 2),
        (b" TOV", [Reason.NONE, Reason.SATURATED_HIGH], 2),
        (b" HLD LCK MOV OVR TMF VOV VTM", [Reason.NONE] * 2, 2),
        (b" ADC", [Reason.SENSOR_FAILURE] * 2, 0),
        (b" LCK XYZ", [Reason.SENSOR_FAILURE] * 2, 0),  # nobody knows what it means
    ],
)
async def test_flags(flags: bytes, reasons: list[Reason], values: int) -> None:
    poll = await (await identified()).poll(Script({POLL: FRAME[:-1] + flags + b"\r"}))
    assert poll.reasons.tolist() == reasons
    assert np.isfinite(poll.values).sum() == values


@pytest.mark.parametrize("dashes", [b"--", b"-------"])
async def test_dashes_are_no_value(dashes: bytes) -> None:
    poll = await (await identified()).poll(Script({POLL: FRAME.replace(b"+14.633", dashes)}))
    assert poll.reasons.tolist() == [Reason.SENSOR_FAILURE, Reason.NONE]
    assert np.isnan(poll.values).tolist() == [True, False]


@pytest.mark.parametrize(
    "frame",
    [
        b"A +14.633 +022.97 -00.034    Air\r",
        b"A +14.633 +022.97 -00.034 -00.034 +000.00    Air\r",
        b"A +14.63 +022.97 -00.034 -00.034    Air\r",
        b"A +14.633 +022.97 -00.034 -00.034\r",
        b"A +14.633+022.97 -00.034 -00.034    Air\r",
    ],
)
async def test_other_columns_than_described_have_no_value_and_are_asked_for_again(frame: bytes) -> None:
    poll = await (await identified()).poll(Script({POLL: frame}))
    assert np.isnan(poll.values).all()
    assert set(poll.reasons.tolist()) <= {Reason.RESTARTED, Reason.CRC}


@pytest.mark.parametrize("heard", [b"B" + FRAME[1:], FRAME[1:], FRAME[:-1], b"?\r", b"A ?\r"])
async def test_another_units_or_a_damaged_line_is_no_frame(heard: bytes) -> None:
    poll = await (await identified()).poll(Script({POLL: heard}))
    assert poll.reasons.tolist() == [Reason.CRC] * 2


async def test_a_table_is_heard_to_its_end() -> None:
    _, maker = driver().fences
    whole = ANSWERS[MAKER]
    assert maker.measure(whole, 0) == len(whole)
    assert maker.measure(whole[: whole.index(b"A  M09")], 0) == -1
    answer = await Script({**ANSWERS, COLUMNS: DESCRIBED[: DESCRIBED.index(b"A D19")]})(driver()._description)  # type: ignore[attr-defined]
    assert answer.outcome is Outcome.CRC


async def test_identity_is_the_firmware_and_the_serial_number() -> None:
    identity = await driver(serial_number=225873).identify(Script(ANSWERS))
    assert (identity.text, identity.serial_number) == ("Alicat, firmware 10v04.0-R24", "225873")
    assert identity.reason is Reason.NONE
    assert (await driver(serial_number=7).identify(Script(ANSWERS))).reason is Reason.IDENTITY_MISMATCH
    script = Script(ANSWERS)
    await driver().identify(script)
    assert script.asked == [VERSION, COLUMNS]


@pytest.mark.parametrize(
    ("old", "new", "advice"),
    [
        (b"02 PSIA", b"02 kPaA", "set it to PSIA"),
        (b"02 `C", b"02 `F", "set it to C"),
        (b"Abs Press", b"Gauge Prs", "name exactly one column 'pressure'"),
        (b"s decimal     7/3 007 02 LPM", b"riddle 7/3", "unknown words"),
    ],
)
async def test_a_frame_that_cannot_be_read_is_refused_with_advice(old: bytes, new: bytes, advice: str) -> None:
    unit = driver()
    identity = await unit.identify(Script({**ANSWERS, COLUMNS: DESCRIBED.replace(old, new)}))
    assert np.isnan((await unit.poll(Script(ANSWERS))).values).all()
    assert identity.reason is Reason.CONFIG
    assert advice in identity.text


async def test_a_device_that_describes_nothing_needs_the_rig_files_word() -> None:
    older = {POLL: b"A +101.325\r", VERSION: ANSWERS[VERSION], COLUMNS: b"?\r"}
    identity = await driver().identify(Script(older))
    assert identity.reason is Reason.CRC
    assert "options.columns" in identity.text
    gauge = await identified(older, options={"columns": ["pressure"], "unit": "kPa"})
    poll = await gauge.poll(Script(older))
    assert [(channel.quantity, channel.unit.symbol) for channel in poll.channels] == [("pressure", "kPa")]
    assert poll.values.tolist() == [101.325]
    assert poll.reasons.tolist() == [Reason.NONE]


@pytest.mark.parametrize("columns", [["temperature"], ["pressure", "pressure"], ["gas", "pressure"], ["flow"]])
def test_columns_that_cannot_be_are_refused(columns: list[str]) -> None:
    with pytest.raises(ValueError, match=r"column|Input should be"):
        Options.model_validate({"columns": columns})


@pytest.mark.parametrize("options", [{}, {"columns": ["pressure", "temperature"]}])
def test_fences_are_of_their_own_kind(options: dict[str, object]) -> None:
    assert_fences_are_of_their_own_kind(driver(options=options))


def test_units_are_letters() -> None:
    assert [driver(unit).requests[0].frame for unit in (1, 2, 26)] == [b"A\r", b"B\r", b"Z\r"]


async def test_silence_is_told_as_it_is() -> None:
    assert (await driver().identify(Script({}))).reason is Reason.TIMEOUT
    assert (await (await identified()).poll(Script({POLL: Outcome.LATE}))).reasons.tolist() == [Reason.LATE] * 2


async def test_the_hail_is_recognised() -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    answer = await Script(ANSWERS)(MODEL.hail(1))
    assert MODEL.recognise(answer.frame) == "Alicat, firmware 10v04.0-R24"
    assert MODEL.recognise(FRAME) is None


@given(st.binary(max_size=60), st.integers(0, 60))
def test_random_bytes_never_raise(heard: bytes, start: int) -> None:
    unit = driver()
    for request in (*unit.requests, *unit.fences):
        assert -1 <= request.measure(heard, start) <= max(len(heard) - start, 0)
