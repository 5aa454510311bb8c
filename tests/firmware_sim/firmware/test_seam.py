"""Each twin of the entry-point group fits the seam."""

from importlib.metadata import entry_points

import pytest

TWINS = {
    "adam-4117": {"channel": 1, "range": "0..160 kPa"},
    "adam-6017": {"channel": 1, "range": "0..160 kPa"},
    "alicat": {},
    "druck-terps": {},
    "generic-float": {},
    "generic-int": {},
    "honeywell-hpb": {},
    "keller-33x": {},
    "keller-bus": {},
    "mensor-cpt": {"options": {"unit": "psi"}},
    "mks-900": {},
    "modbus-map": {"map": {"pressure": {"address": 0, "unit": "kPa"}}},
    "paroscientific-6000": {},
    "pfeiffer-telegram": {},
    "pfeiffer-tpg26x": {},
    "setra-470": {},
    "vaisala-ptb210": {},
    "vaisala-ptb330": {},
    "waveshare-8ch": {"channel": 1, "range": "0..160 kPa"},
}
BEHIND_TCP = {"generic-float", "generic-int", "modbus-map", "waveshare-8ch"}


def test_every_entry_point_is_tested_here():
    assert {entry.name for entry in entry_points(group="manovac.twins")} == set(TWINS)


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_by_its_entry_point_does_what_the_seam_asks(make, name):
    (entry,) = entry_points(group="manovac.twins", name=name)
    twin = make(entry.load(), name, **TWINS[name])
    assert isinstance(twin.silence_framed, bool)
    assert twin.wakes_at_ns is None
    assert list(twin.wake(0)) == []
    assert list(twin.hear(0, b"")) == []
    twin.refuse(2)
    twin.refuse(None)
    twin.reboot(1)
    assert list(twin.hear(1, b"\x01\x03\x00\x02\x00\x02\x65\xcb\r")) == []
    assert hasattr(twin, "serve") == (name in BEHIND_TCP)
