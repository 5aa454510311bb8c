"""Vaisala PTB330: set up, labels, checksum, errors, stars, a counter that stands still, a format that was lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.vaisala_ptb330 import MODEL
from drivers.reading import Reason
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

FORM = b'FORM "P=" 4.3 P " " U " T=" 2.3 TP1 " E=" ERR " N=" MCTR " " CS2 #RN\r'
SNUM, VERS = b"SNUM\r", b"VERS\r"
SESSION = {
    b"ECHO OFF\r": b"ECHO OFF\r\nEcho           : OFF\r\n>",
    b"SMODE STOP\r": b"Start mode     : STOP\r\n",
    b"SMODE POLL\r": b"Start mode     : POLL\r\n",
    FORM: b"OK\r\n",
    SNUM: b"Serial number  : A1234567\r\n",
    VERS: b"PTB330 / 1.01\r\n",
    b"OPEN 5\r": b"PTB330: 5 line opened for operator commands\r\n",
}


def driver(unit: int = 0, **words: object) -> Driver:
    return MODEL.driver(unit, {"p": transducer(MODEL.name, **words)}, bus(format="7E1"))


def message(
    pressure: str = "1013.250", unit: str = "hPa", temperature: str = "22.500", errors: str = "0", counter: int = 7
) -> bytes:
    text = f"P={pressure} {unit} T={temperature} E={errors} N={counter} ".encode()
    return text + b"%02X\r\n" % (sum(text) % 256)


async def test_a_message_brings_pressure_and_temperature() -> None:
    poll = await driver().poll(Script({b"SEND\r": message()}))
    assert [channel.unit.symbol for channel in poll.channels] == ["hPa", "C"]
    assert poll.values.tolist() == [1013.25, 22.5]
    assert poll.reasons.tolist() == [Reason.NONE] * 2


async def test_padding_of_the_format_is_no_matter() -> None:
    poll = await driver().poll(Script({b"SEND\r": message(" 998.125", "hPa  ", "-2.250", "0  ")}))
    assert poll.values.tolist() == [998.125, -2.25]


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"pressure": "********", "errors": "1"}, [Reason.SENSOR_FAILURE, Reason.NONE]),
        ({"pressure": "****.***"}, [Reason.SENSOR_FAILURE, Reason.NONE]),
        ({"errors": "010"}, [Reason.SENSOR_FAILURE, Reason.NONE]),
        ({"temperature": "******"}, [Reason.NONE, Reason.SENSOR_FAILURE]),
        ({"unit": "mmHg"}, [Reason.CONFIG, Reason.NONE]),
    ],
)
async def test_faults_have_no_value(fields: dict[str, str], reasons: list[Reason]) -> None:
    poll = await driver().poll(Script({b"SEND\r": message(**fields)}))
    assert poll.reasons.tolist() == reasons
    assert np.isnan(poll.values).tolist() == [reason is not Reason.NONE for reason in reasons]


@given(st.data())
async def test_a_flipped_bit_brings_no_value(data: st.DataObject) -> None:
    damaged = bytearray(message())
    bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    poll = await driver().poll(Script({b"SEND\r": bytes(damaged)}))
    assert np.isnan(poll.values).all()


async def test_a_counter_that_stands_still_for_longer_than_a_measurement_is_frozen() -> None:
    unit, script = driver(), Script({b"SEND\r": message(counter=7)})
    reasons = [(await unit.poll(script)).reasons.tolist()[0] for _ in range(4)]  # one second apart
    assert reasons == [Reason.NONE, Reason.NONE, Reason.NONE, Reason.FROZEN]
    script.answers = {b"SEND\r": message(counter=8)}
    poll = await unit.poll(script)
    assert poll.reasons.tolist() == [Reason.NONE] * 2
    assert poll.values[0] == 1013.25


@pytest.mark.parametrize("heard", [b"SEND\r\n1013.25 hPa\r\n>", b"1013.25\r\n", b"Unknown command.\r\n"])
async def test_a_lost_format_is_a_restart_and_set_again(heard: bytes) -> None:
    script = Script({**SESSION, b"SEND\r": heard})
    poll = await driver().poll(script)
    assert poll.reasons.tolist() == [Reason.RESTARTED] * 2
    assert script.asked == [b"SEND\r", b"ECHO OFF\r", b"SMODE STOP\r", FORM]


@pytest.mark.parametrize("heard", [message()[9:], message()[:20], message()[:-4] + b"00\r\n", b"\xff"])
async def test_a_damaged_message_is_no_restart(heard: bytes) -> None:
    script = Script({**SESSION, b"SEND\r": heard})
    assert (await driver().poll(script)).reasons.tolist() == [Reason.CRC] * 2
    assert script.asked == [b"SEND\r"]


async def test_silence_is_no_restart() -> None:
    assert (await driver().poll(Script(SESSION))).reasons.tolist() == [Reason.TIMEOUT] * 2


async def test_identity_is_version_and_serial_number_after_the_session_is_set_up() -> None:
    script = Script(SESSION)
    identity = await driver(serial_number="A1234567").identify(script)
    assert (identity.text, identity.serial_number) == ("Vaisala PTB330 / 1.01", "A1234567")
    assert identity.reason is Reason.NONE
    assert script.asked == [b"ECHO OFF\r", b"SMODE STOP\r", FORM, VERS, SNUM]
    assert (await driver(serial_number="A7654321").identify(script)).reason is Reason.IDENTITY_MISMATCH


async def test_a_device_that_echoes_only_or_confirms_otherwise_is_still_set_up() -> None:
    script = Script({**SESSION, b"ECHO OFF\r": b"ECHO OFF\r\n>", b"SMODE STOP\r": b"mode STOP\r\n"})
    assert (await driver().identify(script)).reason is Reason.NONE


@pytest.mark.parametrize(
    ("silent", "reason"),
    [
        ({b"ECHO OFF\r": b""}, Reason.TIMEOUT),
        ({FORM: b"Unknown command.\r\n"}, Reason.CRC),
        ({SNUM: b""}, Reason.TIMEOUT),
        ({VERS: Outcome.BUS_DOWN}, Reason.BUS_DOWN),
    ],
)
async def test_who_cannot_be_set_up_is_not_identified(silent: dict[bytes, bytes], reason: Reason) -> None:
    assert (await driver().identify(Script({**SESSION, **silent}))).reason is reason


async def test_an_addressed_unit_is_opened_and_asked_by_its_number() -> None:
    script = Script({**SESSION, b"SEND 5\r": message()})
    unit = driver(5)
    assert (await unit.identify(script)).reason is Reason.NONE
    assert script.asked[:3] == [b"OPEN 5\r", b"ECHO OFF\r", b"SMODE POLL\r"]
    assert (await unit.poll(script)).values[0] == 1013.25


@pytest.mark.parametrize("unit", [0, 5])
def test_fences_are_of_their_own_kind(unit: int) -> None:
    assert_fences_are_of_their_own_kind(driver(unit))


@pytest.mark.parametrize("unit", [0, 5])
async def test_the_hail_is_recognised(unit: int) -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    answer = await Script(SESSION)(MODEL.hail(unit))
    assert (MODEL.recognise(answer.frame) or "").startswith("Vaisala PTB330")
    assert MODEL.recognise(b"OK\r\n") is None
