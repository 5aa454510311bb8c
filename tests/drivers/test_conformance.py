"""Every family passes what `drivers.conformance` asks of anybody's, and what does not conform is convicted."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import Any, Final

import pytest

from drivers import registry
from drivers.conformance import Check, Device, Subject, checks
from drivers.exchange import Ask
from drivers.model import Driver
from drivers.reading import RawPoll
from drivers.rig import BusKind
from firmware_sim.clock import run_virtual
from firmware_sim.firmware.firmware import Sensor
from tests.drivers.models.test_against_firmware import FAMILIES

TEXT: Final = {"kind": "line-over-tcp"}
UNCHECKED: Final = {"line": TEXT, "checked": False}
PSI: Final = 6895.0
MORE: Final[Mapping[str, Mapping[str, Any]]] = {
    "adam-6017": {
        "line": {"kind": "line-over-udp"},
        "checked": False,
        "resolution": {"pressure": 10.0},
    },
    "adam-4117": {**UNCHECKED, "resolution": {"pressure": 10.0}},
    "alicat": {**UNCHECKED, "resolution": {"pressure": 0.001 * PSI, "temperature": 0.01}},
    "druck-terps": {**UNCHECKED},
    "generic-int": {"resolution": {"pressure": 100.0}},
    "honeywell-hpb": {
        **UNCHECKED,
        "refuses": False,
        "resolution": {"pressure": 0.001 * PSI, "temperature": 0.1},
        "later_s": 1.5,
    },
    "mensor-cpt": {**UNCHECKED},
    "mks-900": {**UNCHECKED, "resolution": {"pressure": 13.4, "temperature": 0.1}, "later_s": 1.5},
    "paroscientific-6000": {**UNCHECKED, "later_s": 1.5},
    "pfeiffer-telegram": {"line": TEXT, "resolution": {"pressure": 100.0}},
    "pfeiffer-tpg26x": {**UNCHECKED, "resolution": {"pressure": 10.0}},
    "setra-470": {"line": {"kind": "serial", "baud": 2400}, "checked": False, "refuses": False},
    "vaisala-ptb210": {**UNCHECKED, "repeats_told": False},
    "vaisala-ptb330": {"line": TEXT, "old_s": 1.0},
    "waveshare-8ch": {"resolution": {"pressure": 62.0}},
}
OWN_RESOLUTION: Final = {"pressure": 1.0, "temperature": 0.02}


def subject(name: str) -> Subject:
    unit, words = FAMILIES[name]
    (twin,) = entry_points(group="manovac.twins", name=name)
    more = {"resolution": OWN_RESOLUTION, **MORE.get(name, {})}
    return Subject(model=registry.model(name), twin=twin.load(), unit=unit, words=words, **more)


CHECKS: Final = [check for name in FAMILIES for check in checks(subject(name))]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_our_families_conform(check: Check) -> None:
    run_virtual(check())


def failing(subject: Subject) -> set[str]:
    """Return the names of the checks that a subject fails, without the model's."""
    failed = set()
    for check in checks(subject):
        try:
            run_virtual(check())
        except AssertionError:
            failed.add(check.name.partition(": ")[2])
    return failed


def test_a_driver_that_goes_on_with_its_last_value_is_convicted() -> None:
    keller = subject("keller-33x")

    def driver(*words: Any) -> Driver:
        return Stubborn(keller.model.driver(*words))

    assert failing(replace(keller, model=replace(keller.model, driver=driver))) >= {"silence", "garbled", "refuses"}


def test_a_driver_whose_fences_are_of_one_kind_is_convicted() -> None:
    keller = subject("keller-33x")

    def driver(*words: Any) -> Driver:
        made = keller.model.driver(*words)
        made.fences = (made.fences[0], made.requests[0])
        return made

    assert "grammar of its answers" in failing(replace(keller, model=replace(keller.model, driver=driver)))


def test_a_twin_that_tells_what_was_a_second_ago_is_convicted() -> None:
    keller = subject("keller-33x")

    def twin(*, sensors: Mapping[str, Sensor], **words: Any) -> Device:
        return keller.twin(sensors={name: Slow(sensor) for name, sensor in sensors.items()}, **words)

    assert "a line without trouble" in failing(replace(keller, twin=twin))


def test_modbus_tcp_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="transaction ids"):
        replace(subject("modbus-map"), line={"kind": BusKind.MODBUS_TCP})


@dataclass
class Stubborn:
    """A driver that cannot admit that it got nothing."""

    driver: Driver
    last: RawPoll | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)

    async def poll(self, ask: Ask) -> RawPoll:
        poll = await self.driver.poll(ask)
        if self.last is None or not poll.reasons.any():
            self.last = poll
        return replace(self.last, time_s=poll.time_s)


@dataclass
class Slow:
    """A sensor of the past."""

    sensor: Sensor

    def read(self, at_ns: int) -> tuple[float, float]:
        return self.sensor.read(at_ns - 1_000_000_000)
