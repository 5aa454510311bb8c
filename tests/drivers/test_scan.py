"""Scanning a line of which little is known, against emulated devices in virtual time."""

import re
from dataclasses import dataclass

import pytest

from drivers import registry
from drivers.rig import Rig
from drivers.scan import Found, Setting, longest_s, scan
from drivers.transport.memory import MemoryTransport
from drivers.wire.ascii_line import LineRequest
from firmware_sim.clock import run_virtual
from firmware_sim.testing import emulated
from tests.drivers.models.test_against_firmware import FAMILIES as FAMILIES_WITH_WORDS

KELLER = {"model": "keller-33x"}
MAP = {"model": "modbus-map", "map": {"pressure": {"address": 0, "unit": "Pa"}}}
WAVESHARE = {"model": "waveshare-8ch", "channel": 1, "range": "0..160 kPa", "current": "4..20 mA"}
VAISALA = {"model": "vaisala-ptb330"}
ADAM = {"model": "adam-6017", "channel": 1, "range": "0..160 kPa"}
PAROSCIENTIFIC = {"model": "paroscientific-6000"}
FAMILIES = ("adam-6017", "keller-33x", "paroscientific-6000", "vaisala-ptb330", "waveshare-8ch")
MODELS = [registry.model(name) for name in FAMILIES]


def rig_of(transducers, kind="serial", **line):
    return Rig.model_validate(
        {
            "station": {"id": "a", "gateway": "b"},
            "segment": {"s": {}},
            "bus": {"b": {"kind": kind, "port": "-:1", "baud": 9600, **line}},
            "transducer": {
                f"p{unit}": {"bus": "b", "segment": "s", "unit": unit, **words} for unit, words in transducers.items()
            },
        }
    )


def scanned(rig, *, units=range(1, 6), bauds=None, formats=None, faults=(), models=MODELS):
    """Scan the rig's only bus; return who was found and the settings that were tried."""
    line = rig.buses["b"]

    async def main():
        async with emulated(rig, memory=True, faults=faults) as fleet:

            def at(words):
                if "b" in fleet.lines:
                    fleet.lines["b"].set_host(words.baud, words.format)
                return MemoryTransport(fleet.memory["b"].connect)

            return [
                each
                async for each in scan(
                    line.model_copy(update={"timeout": 0.1}),
                    bauds=bauds or [line.baud],
                    formats=formats or [line.format],
                    units=list(units),
                    models=models,
                    make_transport=at,
                )
            ]

    told = run_virtual(main())
    return [each for each in told if isinstance(each, Found)], [each for each in told if isinstance(each, Setting)]


@pytest.mark.parametrize(
    ("words", "kind", "model", "text"),
    [
        (KELLER, "serial", "keller-33x", "KELLER 5.20"),
        (WAVESHARE, "serial", "waveshare-8ch", "Waveshare Analog Input 8CH, all inputs 0-20 mA"),
        (WAVESHARE, "modbus-tcp", "waveshare-8ch", "Waveshare Analog Input 8CH"),
        (MAP, "serial", None, "modbus-map"),
        (MAP, "modbus-tcp", None, "modbus-map"),
        (PAROSCIENTIFIC, "line-over-tcp", "paroscientific-6000", "Paroscientific Digiquartz, serial number "),
        (VAISALA, "line-over-tcp", "vaisala-ptb330", "Vaisala PTB330"),
        (VAISALA, "serial", "vaisala-ptb330", "Vaisala PTB330"),
    ],
)
def test_each_family_is_found_and_named(words, kind, model, text):
    found, settings = scanned(rig_of({3: words}, kind))
    assert [(each.unit, each.model) for each in found] == [(3, model)]
    assert text in found[0].text
    assert [setting.found for setting in settings] == [1]


def test_a_module_is_found_by_datagrams_whatever_baud_and_format_say():
    found, _ = scanned(rig_of({1: ADAM}, "line-over-udp", baud=300, format="7E1"), units=range(3))
    assert [(each.unit, each.model, each.text) for each in found] == [(1, "adam-6017", "Advantech ADAM-6017")]


def test_a_barometer_alone_on_its_line_is_found_at_0():
    found, _ = scanned(rig_of({0: VAISALA}, "line-over-tcp"), units=range(3))
    assert [(each.unit, each.model) for each in found] == [(0, "vaisala-ptb330")]


@dataclass(frozen=True)
class _Unfinished:
    """A family whose question has no end that other instruments know."""

    name: str = "unfinished"
    kinds: frozenset[str] = frozenset({"line-over-tcp"})
    bauds: frozenset[int] = frozenset({9600})
    formats: frozenset[str] = frozenset({"8N1"})
    units: range = range(100)
    recognise: None = None

    def hail(self, unit):
        return LineRequest(unit=unit, frame=b"@MD?;FF", head=b"@", answer=re.compile(rb"@\n"), answer_size=2)


def test_half_a_line_left_by_another_familys_question_hides_nobody():
    models = [_Unfinished(), registry.model("vaisala-ptb330")]
    found, _ = scanned(rig_of({0: VAISALA}, "line-over-tcp"), units=[0], models=models)
    assert [each.model for each in found] == ["vaisala-ptb330"]


def test_every_installed_family_may_be_asked_and_the_right_one_is_found():
    models = [registry.model(name) for name in registry.names()]
    found, _ = scanned(rig_of({0: VAISALA}, "line-over-tcp"), units=[0, 1], models=models)
    assert [(each.unit, each.model) for each in found] == [(0, "vaisala-ptb330")]
    found, _ = scanned(rig_of({1: PAROSCIENTIFIC}, "line-over-tcp"), units=[0, 1], models=models)
    assert [(each.unit, each.model) for each in found] == [(1, "paroscientific-6000")]


USUAL_BAUDS = (9600, 19200, 115200, 4800, 38400, 57600)


@pytest.mark.parametrize(
    "name", [name for name in FAMILIES_WITH_WORDS if registry.model(name).hail and name != "adam-6017"]
)
def test_each_family_is_found_on_a_line_of_unknown_baud_and_format(name):
    model, (unit, words) = registry.model(name), FAMILIES_WITH_WORDS[name]
    words = {word: value for word, value in words.items() if word != "serial_number"}
    form = "7E1" if "7E1" in model.formats else "8N1"
    baud = max(model.bauds & {*USUAL_BAUDS[:2]}, default=max(model.bauds & {*USUAL_BAUDS}))
    rig = rig_of({unit: {"model": name, **words}}, baud=baud, format=form)
    models = [registry.model(each) for each in registry.names()]
    found, _ = scanned(rig, units=[unit, unit + 1], bauds=USUAL_BAUDS, formats=("8N1", "7E1"), models=models)
    name = name.replace("keller-bus", "keller-33x")  # one device, two protocols; Modbus is asked first
    assert [(each.model, each.unit, each.baud, each.format) for each in found] == [(name, unit, baud, form)]
    assert found[0].text


def test_several_families_on_one_line_are_told_apart():
    found, _ = scanned(rig_of({1: KELLER, 2: MAP, 4: WAVESHARE}))
    assert [(each.unit, each.model) for each in found] == [(1, "keller-33x"), (2, None), (4, "waveshare-8ch")]


def test_a_unit_that_only_a_modbus_tcp_gateway_answers_for_is_nobody():
    found, (setting,) = scanned(rig_of({2: MAP}, "modbus-tcp"))
    assert [each.unit for each in found] == [2]
    assert (setting.asked, setting.silent) == (6, 4)


def test_nobody_on_the_line_is_silence():
    found, (setting,) = scanned(rig_of({9: KELLER}))
    assert found == []
    assert setting.asked == setting.silent > 0
    assert (setting.garbled, setting.others, setting.problem) == ([], {}, "")


def test_garbage_is_kept_to_be_looked_at():
    found, (setting,) = scanned(rig_of({1: KELLER}), units=[1], faults=["crc:p1"])
    assert found == []
    assert setting.garbled


@pytest.mark.parametrize("fault", ["crc:p3@#1", "late:p3@#1,delay=150ms", "noise:p3@#1,before=3", "truncate:p3@#1"])
def test_one_answer_that_is_damaged_or_late_hides_nobody(fault):
    found, _ = scanned(rig_of({3: KELLER}), faults=[fault])
    assert [(each.unit, each.model) for each in found] == [(3, "keller-33x")]


def test_a_foreign_answer_is_nobody_that_was_found():
    found, (setting,) = scanned(rig_of({1: KELLER}), units=[1], faults=["foreign:p1,unit=77"])
    assert found == []
    assert set(setting.others) == {77}


def test_every_setting_is_tried_and_reported_in_turn():
    _, settings = scanned(rig_of({9: KELLER}), units=[1], bauds=[9600, 19200], formats=["8N1", "7E1"])
    assert [(each.baud, each.format) for each in settings] == [
        (9600, "8N1"),
        (9600, "7E1"),
        (19200, "8N1"),
        (19200, "7E1"),
    ]
    asked = {each.format: each.asked for each in settings}
    assert asked["7E1"] < asked["8N1"], "Modbus needs eight data bits"


def test_a_line_that_is_lost_on_the_way_ends_the_scan():
    with pytest.raises(ConnectionError, match="unplugged"):
        scanned(rig_of({9: KELLER}), units=range(1, 33), faults=["unplug:b@1s"])


class _Refusing:
    """A port that can do 8N1 only."""

    def __init__(self, words, works):
        self._refused = None if works(words) else words.format

    async def connect(self, receiver):
        if self._refused:
            raise OSError(f"cannot do {self._refused}")

    def write(self, data):
        pass

    def close(self):
        pass


def refused(works, formats):
    line = rig_of({}).buses["b"]

    async def main():
        return [
            each
            async for each in scan(
                line,
                bauds=[9600],
                formats=formats,
                units=[1],
                models=MODELS,
                make_transport=lambda words: _Refusing(words, works),
            )
        ]

    return run_virtual(main())


def test_a_setting_that_the_port_cannot_do_is_skipped_with_why():
    told = refused(lambda words: words.format == "8N1", ["8N1", "8E1"])
    assert [(each.format, each.problem) for each in told] == [("8N1", ""), ("8E1", "cannot do 8E1")]


def test_a_port_that_cannot_be_opened_at_all_is_an_error():
    with pytest.raises(ConnectionError, match=r"^cannot do 8N1$"):
        refused(lambda words: False, ["8N1", "8E1"])


def test_the_longest_time_counts_every_question():
    line = rig_of({}, timeout="100 ms").buses["b"]
    one = longest_s(line, bauds=[9600], formats=["8N1"], units=[1], models=MODELS)
    assert one == pytest.approx(0.1 * (1 + 4))
    assert longest_s(line, bauds=[9600, 19200], formats=["8N1"], units=[1, 2, 3], models=MODELS) == pytest.approx(
        6 * one
    )
