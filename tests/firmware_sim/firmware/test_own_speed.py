"""Twins that can be told to run at another speed: from when on, and what of it outlives a loss of power."""

import pytest

from drivers.rig import Bus, BusKind
from firmware_sim.firmware.generic_transmitter import GenericFloat, GenericInt
from firmware_sim.firmware.mks_900 import Mks900
from firmware_sim.firmware.pfeiffer_tpg26x import PfeifferTpg26x
from firmware_sim.firmware.vaisala_ptb210 import VaisalaPtb210
from firmware_sim.firmware.waveshare_8ch import Waveshare8ch
from firmware_sim.wire import modbus

BAUD_19200 = modbus.join(1, bytes.fromhex("06 00 01 00 04"))
LINE = Bus(kind=BusKind.SERIAL, port="x", baud=9600)


@pytest.mark.parametrize(
    ("family", "more", "command", "at_once", "kept"),
    [
        (GenericInt, {}, BAUD_19200, 19200, 9600),
        (GenericFloat, {}, BAUD_19200, 19200, 9600),
        (GenericInt, {}, BAUD_19200 + modbus.join(1, bytes.fromhex("06 00 0F 00 00")), 19200, 19200),
        (Mks900, {}, b"@001BR!19200;FF", 19200, 19200),
        (PfeifferTpg26x, {}, b"BAU,1\r\n", 19200, 19200),
        (VaisalaPtb210, {}, b".BAUD.19200\r", 9600, 19200),
        (
            Waveshare8ch,
            {"channel": 1, "range": "0..1 bar"},
            modbus.join(1, bytes.fromhex("06 20 00 00 02")),
            19200,
            19200,
        ),
    ],
)
def test_it_answers_at_the_old_speed_and_has_the_new_one_then(make, family, more, command, at_once, kept):
    twin = make(family, "any", bus=LINE, **more)
    assert twin.baud == 9600
    frames = [command[:8], command[8:]] if twin.silence_framed else [command]
    for frame in frames:
        assert frame == b"" or bool(twin.hear(0, frame)) is (family is not VaisalaPtb210)
    assert twin.baud == at_once
    twin.reboot(0)
    assert twin.baud == kept
