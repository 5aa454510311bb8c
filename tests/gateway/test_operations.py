"""Each command does what it says to a whole gateway on an emulated rig, in virtual time."""

import asyncio
import json
import math
from contextlib import suppress
from dataclasses import replace

import jsonschema
import pytest

from drivers.reading import Quality, Reason
from drivers.rig import Rig
from drivers.rig_problems import RigError
from drivers.rig_source import load_rig
from drivers.transport.memory import MemoryTransport
from firmware_sim.clock import run_virtual
from firmware_sim.testing import emulated
from gateway import calibrations as calibrations_module
from gateway import operations as operations_module
from gateway.app import Gateway, Handover
from gateway.calibrations import Calibrations
from gateway.mqtt import commands, schemas
from gateway.mqtt.journal import Journal, JournalError
from gateway.mqtt.memory import MemoryLink
from gateway.operations import NewRig

BASE = "manovac/v1/s"
WALL_S = 1e9
WORDS = {
    "station": {"id": "s", "gateway": "g"},
    "segment": {"lab": {"volume": "12 m3"}, "hall": {"volume": "30 m3"}},
    "hatch": [{"between": ["lab", "hall"], "state": "closed"}],
    "bus": {
        "near": {"kind": "serial", "port": "-", "baud": 19200},
        "far": {"kind": "serial", "port": "-", "baud": 9600},
    },
    "transducer": {
        "p1": {"model": "keller-33x", "bus": "near", "unit": 1, "segment": "lab", "range": "0..160 kPa"},
        "p2": {"model": "keller-33x", "bus": "near", "unit": 2, "segment": "lab"},
        "w1": {
            "model": "waveshare-8ch",
            "bus": "far",
            "unit": 3,
            "channel": 1,
            "segment": "hall",
            "range": "0..160 kPa",
        },
        "w2": {
            "model": "waveshare-8ch",
            "bus": "far",
            "unit": 3,
            "channel": 2,
            "segment": "hall",
            "range": "0..160 kPa",
        },
        "g1": {
            "model": "generic-int",
            "bus": "far",
            "unit": 4,
            "segment": "hall",
            "settings": {
                "zero": {"address": 5, "type": "int16", "range": [-100, 100]},
                "unit": {"address": 2, "range": [0, 99]},
                "nowhere": {"address": 900, "range": [0, 9]},
            },
        },
    },
    "commands": {"anna": {"allow": ["*"]}},
    "journal": {"keep": "memory"},
}
RIG = Rig.model_validate(WORDS)


def rig(**changes):
    return Rig.model_validate(WORDS | changes)


class Run:
    """A gateway in its room: what it published and read, and its answers."""

    def __init__(self, gateway, link, fleet, messages, readings):
        self.gateway, self.link, self.fleet = gateway, link, fleet
        self.messages, self.readings = messages, readings
        self.loop = asyncio.get_running_loop()
        self._number = 0

    async def command(self, kind, /, *, by="anna", within_s=60.0, life_s=30.0, **words):
        """Give a command and return the answer."""
        self._number += 1
        command_id = f"c{self._number}-{round(self.loop.time() * 1000)}"
        not_after = round((WALL_S + self.loop.time() + life_s) * 1000)
        payload = commands.build(kind, id=command_id, not_after=not_after, by=by, **words)
        self.link.hear(f"{BASE}/cmd/g/{kind.topic}", payload)
        async with asyncio.timeout(within_s):
            while not (answers := self.on(f"rsp/g/{command_id}")):  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.01)
        jsonschema.validate(answers[0], schemas.schema("response"))
        return answers[0]

    async def done(self, kind, /, **words):
        answer = await self.command(kind, **words)
        assert answer["status"] == "done", answer
        return answer["result"]

    async def refused(self, kind, /, **words):
        answer = await self.command(kind, **words)
        assert answer["status"] in ("rejected", "failed"), answer
        return answer["code"], answer["text"]

    def on(self, topic):
        return [json.loads(each.payload) for each in self.messages if each.topic == f"{BASE}/{topic}"]

    def since(self, moment_s, channel):
        """Readings of a channel measured after that moment."""
        return [each for each in self.readings if each.channel.id == channel and each.time_s >= moment_s]

    @property
    def meta(self):
        last = self.on("gw/g/meta")[-1]
        jsonschema.validate(last, schemas.schema("meta"))
        return last["transducers"]

    def poller(self, bus):
        return next(each for each in self.gateway.pollers if each.bus.name == bus)


class Hanging:
    """Stands in for a thread that hangs, as on a disk that answers nothing, until it is let go."""

    def __init__(self):
        self.works = []

    def __call__(self, work, *, name):
        future = asyncio.get_running_loop().create_future()
        self.works.append((work, future))
        return future

    def let_go(self):
        for work, future in self.works:
            if not future.done():
                future.set_result(work())


def in_room(script, *, the_rig=RIG, faults=(), first_s=3.0, **words):
    """Run a script beside a gateway, in virtual time; return what the script returns."""

    async def main():
        names = {id(bus): name for name, bus in the_rig.buses.items()}
        messages, readings, links = [], [], []

        def carrier(outbox, **more):
            links.append(MemoryLink(outbox, messages.append, **more))
            return links[0]

        async with emulated(the_rig, memory=True, faults=list(faults)) as fleet:
            loop = asyncio.get_running_loop()
            gateway = Gateway(
                the_rig,
                make_carrier=carrier,
                make_transport=lambda bus: MemoryTransport(fleet.memory[names[id(bus)]].connect),
                **{
                    "wall": lambda: WALL_S + loop.time(),
                    "sync": lambda: "ntp",
                    "rig_hash": "0",
                    "boot": "0001",
                    **words,
                },
            )
            gateway.listeners.append(readings.extend)
            running = loop.create_task(gateway.run())
            await asyncio.sleep(first_s)
            run = Run(gateway, links[0], fleet, messages, readings)
            try:
                run.result = await script(run)
            finally:
                if not running.done():
                    running.cancel()
                with suppress(asyncio.CancelledError):
                    run.handover = await running
        return run

    return run_virtual(main(), limit_s=100_000)


def test_a_rate_takes_effect_at_once_and_stale_and_meta_follow():
    async def script(run):
        assert await run.done(commands.Rate, transducer="p1", poll_s=0.25) == {
            "before_s": 1.0, "poll_s": 0.25, "unit_polled_s": 0.25,
        }  # fmt: skip
        fast_s = run.loop.time()
        await asyncio.sleep(5.0)
        assert 18 <= len(run.since(fast_s, "p1.pressure")) <= 21
        assert run.meta["p1"]["poll_s"] == 0.25
        await run.done(commands.Rate, transducer="p1", poll_s=30.0)
        slow_s = run.loop.time()
        await asyncio.sleep(65.0)
        assert len(run.since(slow_s, "p1.pressure")) in (2, 3)
        latest = run.on("seg/lab/pressure/p1")
        assert "stale" not in {each["quality"] for each in latest}, "three of the new periods make it stale"
        assert run.on("seg/lab/state")[-1]["used"] == ["p1", "p2"]
        code, text = await run.refused(commands.Rate, transducer="p2", poll_s=0.01)
        assert code == "not_possible"
        assert "bus 'near' would be in use for" in text
        assert run.meta["p2"]["poll_s"] == 1.0

    run = in_room(script)
    assert run.poller("near").schedule.missed == {1: 0, 2: 0}


def test_a_bus_that_is_overloaded_can_be_relieved():
    words = {name: {**WORDS["transducer"][name], "poll": "0.015 s"} for name in ("p1", "p2")}

    async def script(run):
        assert (await run.done(commands.Rate, transducer="p1", poll_s=0.03))["poll_s"] == 0.03
        assert (await run.refused(commands.Rate, transducer="p1", poll_s=0.02))[0] == "not_possible"
        await run.done(commands.Rate, transducer="p2", poll_s=1.0)
        await run.done(commands.Rate, transducer="p1", poll_s=1.0)

    in_room(script, the_rig=rig(transducer=words, bus={"near": WORDS["bus"]["near"]}))


def test_a_paused_transducer_is_not_asked_says_so_and_misses_nothing():
    async def script(run):
        assert await run.done(commands.Pause, transducer="p1") == {"paused": ["p1"]}
        await asyncio.sleep(1.5)
        paused_s = run.loop.time()
        asked = sum(run.poller("near").bus.statistics().units[1].outcomes.values())
        await asyncio.sleep(10.0)
        assert sum(run.poller("near").bus.statistics().units[1].outcomes.values()) == asked
        readings = run.since(paused_s, "p1.pressure")
        assert len(readings) == 10
        assert {(each.value, each.quality, each.reason) for each in readings} == {(None, Quality.BAD, Reason.CONFIG)}
        assert {each.quality for each in run.since(paused_s, "p2.pressure")} == {Quality.GOOD}
        assert (run.meta["p1"]["paused"], run.meta["p2"]["paused"]) == (True, False)
        assert run.on("seg/lab/state")[-1]["rejected"] == {"p1": "config"}
        assert await run.refused(commands.Rescan, transducer="p1") == (
            "not_possible", "paused, to be resumed first: p1",
        )  # fmt: skip
        assert await run.done(commands.Resume, transducer="p1") == {"paused": []}
        again_s = run.loop.time()
        await asyncio.sleep(3.0)
        assert {each.quality for each in run.since(again_s + 1, "p1.pressure")} == {Quality.GOOD}

    run = in_room(script)
    assert run.poller("near").schedule.missed == {1: 0, 2: 0}


def test_one_input_of_a_device_can_be_paused_and_so_can_a_bus():
    async def script(run):
        await run.done(commands.Pause, transducer="w1")
        await asyncio.sleep(1.5)
        paused_s = run.loop.time()
        await asyncio.sleep(3.0)
        assert {each.reason for each in run.since(paused_s, "w1.pressure")} == {Reason.CONFIG}
        assert {each.reason for each in run.since(paused_s, "w2.pressure")} == {Reason.NONE}
        assert await run.done(commands.Pause, bus="far") == {"paused": ["g1", "w1", "w2"]}
        await asyncio.sleep(1.5)
        asked = [unit.outcomes for unit in run.poller("far").bus.statistics().units.values()]
        await asyncio.sleep(3.0)
        assert [unit.outcomes for unit in run.poller("far").bus.statistics().units.values()] == asked
        assert await run.done(commands.Resume, bus="far") == {"paused": []}
        assert await run.refused(commands.Pause, bus="attic") == (
            "not_found", "no bus 'attic' with transducers in the rig (there are: near, far)",
        )  # fmt: skip

    in_room(script)


def test_a_rescan_asks_a_resting_unit_at_once_and_who_it_is():
    async def script(run):
        run.fleet.faults.inject("silence:p2")
        await asyncio.sleep(20.0)
        code, text = await run.refused(commands.Rescan, transducer="p2")
        assert (code, text) == ("no_answer", "unit 2: timeout (nobody answers)")
        assert run.poller("near").bus.resting(2) is not None
        run.fleet.faults.clear()
        asked_s = run.loop.time()
        found = await run.done(commands.Rescan, transducer="p2")
        assert run.loop.time() - asked_s < 0.5, "it had been silent, and would have rested for seconds"
        assert found["identity"].startswith("KELLER")
        assert found["reasons"] == []

    in_room(script)


def test_a_rescan_of_a_bus_asks_each_of_its_units_and_lists_what_they_say():
    async def script(run):
        found = (await run.done(commands.Rescan, bus="far"))["transducers"]
        assert list(found) == ["w1", "w2", "g1"]
        assert {each["code"] for each in found.values()} == {"ok"}
        assert found["w1"] == found["w2"]
        run.fleet.faults.inject("silence:p2")
        await run.done(commands.Pause, transducer="w1")
        found = (await run.done(commands.Rescan, bus="near"))["transducers"]
        assert found["p1"]["identity"].startswith("KELLER")
        assert found["p2"] == {"code": "no_answer", "text": "unit 2: timeout (nobody answers)"}
        found = (await run.done(commands.Rescan, bus="far"))["transducers"]
        assert (found["w1"]["reasons"], found["w2"]["reasons"]) == (["config"], [])
        run.fleet.faults.inject("silence:p1")
        assert await run.refused(commands.Rescan, bus="near") == (
            "no_answer", "unit 1: timeout (nobody answers); unit 2: timeout (nobody answers)",
        )  # fmt: skip
        await run.done(commands.Pause, bus="far")
        assert await run.refused(commands.Rescan, bus="far") == (
            "not_possible", "paused, to be resumed first: w1, w2; paused, to be resumed first: g1",
        )  # fmt: skip
        assert (await run.refused(commands.Rescan, bus="attic"))[0] == "not_found"

    in_room(script)


def test_a_calibration_takes_effect_is_told_and_is_no_leak():
    async def script(run):
        await asyncio.sleep(40.0)
        before = run.since(30.0, "p1.pressure")[-1].value
        result = await run.done(commands.Calibrate, transducer="p1", offset_pa=250.0, gain=1.001)
        assert result == {
            "before": {"offset_pa": 0.0, "gain": 1.0}, "now": {"offset_pa": 250.0, "gain": 1.001}, "kept": False,
        }  # fmt: skip
        await asyncio.sleep(120.0)
        assert run.readings[-5:]
        assert run.since(run.loop.time() - 2, "p1.pressure")[-1].value == pytest.approx(before * 1.001 + 250, abs=30)
        meta = run.meta["p1"]
        assert (meta["calibration"]["offset"], meta["calibration"]["gain"]) == (250.0, 1.001)
        assert meta["calibrated_by"]["by"] == "anna"
        assert run.meta["p2"]["calibrated_by"] is None
        (event,) = [each["command"] for each in run.on("event/command")]
        assert (event["by"], event["result"]) == ("anna", result)
        told = [body["class"] for leak in run.on("leak")[1:] for body in leak["bodies"] if body["segments"] == ["lab"]]
        assert set(told) <= {"none", "collecting"}
        assert run.gateway.findings.alarms == ()
        assert await run.done(commands.Calibrate, transducer="p1", offset_pa=0.0, gain=1.0)

    in_room(script)


def test_a_calibration_of_a_transducer_that_stands_alone_is_no_leak_either():
    alone = rig(transducer={"p1": WORDS["transducer"]["p1"]}, commands={"*": {"allow": ["calibrate"]}})

    async def script(run):
        await asyncio.sleep(60.0)
        await run.done(commands.Calibrate, transducer="p1", offset_pa=-400.0, gain=1.0)
        await asyncio.sleep(200.0)
        classes = [body["class"] for leak in run.on("leak") for body in leak["bodies"]]
        assert set(classes) == {"collecting", "none"}
        assert classes[-1] == "none"
        assert run.on("seg/lab/state")[-1]["pressure"] == pytest.approx(100_925, abs=30)

    in_room(script, the_rig=alone)


def test_zero_makes_a_transducer_show_what_is_true_and_no_more_than_that():
    async def script(run):
        assert (await run.done(commands.Zero, transducer="p1", at_pa=101_000.0))["now"]["gain"] == 1.0
        await asyncio.sleep(3.0)
        assert run.since(run.loop.time() - 1.5, "p1.pressure")[-1].value == pytest.approx(101_000.0, abs=20)
        code, text = await run.refused(commands.Zero, transducer="p1", at_pa=0.0)
        assert code == "not_possible"
        assert "more than 8000 Pa is no matter of its zero" in text
        await run.done(commands.Pause, transducer="p1")
        await asyncio.sleep(1.5)
        assert (await run.refused(commands.Zero, transducer="p1", at_pa=101_000.0))[0] == "no_answer"
        assert len(run.gateway.listeners) == 1, "nobody listens on"
        await run.done(commands.Rate, transducer="p1", poll_s=60.0)
        assert "each 60 s only" in (await run.refused(commands.Zero, transducer="p1", at_pa=101_000.0))[1]

    in_room(script)


def test_zeros_at_the_same_time_make_one_zero():
    async def script(run):
        zeros = [asyncio.create_task(run.command(commands.Zero, transducer="p1", at_pa=101_000.0)) for _ in range(2)]
        assert sorted([(await each)["code"] for each in zeros]) == ["busy", "ok"]
        await asyncio.sleep(3.0)
        assert run.since(run.loop.time() - 1.5, "p1.pressure")[-1].value == pytest.approx(101_000.0, abs=20)

    in_room(script)


def test_a_zero_beside_another_calibration_changes_nothing():
    async def script(run):
        zero = asyncio.create_task(run.command(commands.Zero, transducer="p1", at_pa=101_000.0))
        await asyncio.sleep(2.5)
        await run.done(commands.Rate, transducer="p1", poll_s=0.5)
        await run.done(commands.Calibrate, transducer="p1", offset_pa=250.0, gain=1.0)
        answer = await zero
        assert answer["code"] == "busy"
        assert "was calibrated while it was read" in answer["text"]
        assert run.meta["p1"]["calibration"]["offset"] == 250.0

    in_room(script)


def test_a_disk_that_hangs_stops_no_other_command_and_its_calibration_takes_effect_when_it_is_kept(
    tmp_path, monkeypatch
):
    hangs = Hanging()
    monkeypatch.setattr(calibrations_module, "in_own_thread", hangs)

    async def script(run):
        calibrate = {"transducer": "p1", "offset_pa": 250.0, "gain": 1.0}
        assert (await run.refused(commands.Calibrate, **calibrate))[0] == "timed_out"
        assert (await run.refused(commands.Calibrate, **calibrate | {"offset_pa": 7.0}))[0] == "timed_out"
        await run.done(commands.Hatch, hatch="lab--hall", state="open")
        assert run.meta["p1"]["calibration"] is None
        hangs.let_go()
        await asyncio.sleep(1.0)
        assert run.meta["p1"]["calibration"]["offset"] == 250.0
        monkeypatch.undo()
        assert (await run.done(commands.Calibrate, **calibrate | {"offset_pa": 9.0}))["before"]["offset_pa"] == 250.0

    in_room(script, calibrations=Calibrations(RIG, tmp_path / "x.json"))


def test_calibrations_outlive_a_restart_until_the_rig_file_says_something_new(tmp_path):
    path = tmp_path / "deep" / "s-g.calibrations.json"

    def kept(the_rig=RIG):
        calibrations = Calibrations(the_rig, path)
        calibrations.load()
        return calibrations

    async def give(run):
        assert (await run.done(commands.Calibrate, transducer="p1", offset_pa=250.0, gain=1.0))["kept"] is True

    in_room(give, calibrations=kept())

    async def look(run):
        assert run.meta["p1"]["calibration"]["offset"] == 250.0
        assert run.meta["p1"]["calibrated_by"]["by"] == "anna"
        assert run.since(0.0, "p1.pressure")[-1].value > 101_450

    in_room(look, calibrations=kept())
    certified = WORDS["transducer"] | {"p1": WORDS["transducer"]["p1"] | {"calibration": {"offset": "12 Pa"}}}
    assert kept(rig(transducer=certified)).told == {}
    path.write_text("{")
    assert kept().told == {}
    assert [each.name for each in path.parent.iterdir()] == ["s-g.calibrations.json.damaged"]


def test_what_cannot_be_kept_changes_nothing(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(calibrations_module, "_replace", full)

    async def script(run):
        code, text = await run.refused(commands.Calibrate, transducer="p1", offset_pa=250.0, gain=1.0)
        assert (code, text) == ("not_kept", "it could not be kept, so nothing was changed: No space left on device")
        assert run.meta["p1"]["calibration"] is None

    in_room(script, calibrations=Calibrations(RIG, tmp_path / "x.json"))


def test_a_setting_is_written_and_read_back():
    async def script(run):
        assert await run.done(commands.Write, transducer="g1", setting="zero", value=-3) == {
            "before": 0.0, "read_back": -3.0,
        }  # fmt: skip
        assert run.fleet._devices["far", 4].firmware.settings[5] == 0xFFFD
        for words, code, text in (
            ({"setting": "zero", "value": 101}, "not_possible", "101 is beyond its range, -100 to 100"),
            ({"setting": "zero", "value": 0.5}, "not_possible", "int16 holds whole numbers"),
            ({"setting": "baud", "value": 1}, "not_found", "no setting 'baud' in the rig file (there are: zero, unit,"),
            ({"setting": "unit", "value": 98}, "device_refused", "refused with code 3"),
            ({"setting": "nowhere", "value": 1}, "device_refused", "could not be read first (refused with code 2)"),
        ):
            said = await run.refused(commands.Write, transducer="g1", **words)
            assert said[0] == code
            assert text in said[1]
        assert (await run.refused(commands.Write, transducer="p1", setting="zero", value=1))[0] == "not_found"
        run.fleet.faults.inject("silence:g1")
        await asyncio.sleep(3.0)
        assert (await run.refused(commands.Write, transducer="g1", setting="zero", value=1))[0] == "no_answer"

    in_room(script)


def test_writes_to_one_register_at_the_same_time_each_find_what_they_wrote():
    async def script(run):
        answers = await asyncio.gather(
            *(run.command(commands.Write, transducer="g1", setting="zero", value=value) for value in range(16))
        )
        assert {answer["code"] for answer in answers} == {"ok"}
        assert [answer["result"]["read_back"] for answer in answers] == [*range(16)]

    in_room(script)


def test_a_write_that_waited_too_long_for_its_turn_is_not_made():
    async def script(run):
        run.fleet.faults.inject("silence:g1")
        first = asyncio.create_task(run.command(commands.Write, transducer="g1", setting="zero", value=1))
        await asyncio.sleep(0.05)
        late = asyncio.create_task(run.command(commands.Write, life_s=0.5, transducer="g1", setting="zero", value=2))
        await asyncio.sleep(0.5)
        run.fleet.faults.clear()
        await first
        assert (await late)["code"] == "expired"
        assert run.fleet._devices["far", 4].firmware.settings[5] != 2

    in_room(script)


def test_who_has_no_entry_cannot_touch_a_device():
    async def script(run):
        code, text = await run.refused(commands.Write, by="bob", transducer="g1", setting="zero", value=1)
        assert code == "not_allowed"
        assert text.startswith("'bob' may not command write: [commands]")
        await run.done(commands.Hatch, by="bob", hatch="lab--hall", state="open")

    in_room(script)


def test_unknown_names_are_told_with_those_that_there_are():
    async def script(run):
        for kind, words in (
            (commands.Rate, {"transducer": "p9", "poll_s": 1.0}),
            (commands.Rescan, {"transducer": "p9"}),
            (commands.Calibrate, {"transducer": "p9", "offset_pa": 0.0, "gain": 1.0}),
        ):
            code, text = await run.refused(kind, **words)
            assert code == "not_found"
            assert "(there are: p1, p2, w1, w2, g1)" in text
        for kind, words in ((commands.Acknowledge, {}), (commands.Shelve, {"lasts_s": 60.0})):
            assert await run.refused(kind, alarm="x", **words) == ("not_found", "no alarm 'x' stands (none does)")
        assert await run.refused(commands.Replay, first=1, last=2) == (
            "not_found", "the journal has none of these numbers",
        )  # fmt: skip
        assert (await run.refused(commands.Reload))[0] == "not_possible"

    in_room(script)


def test_an_answer_has_the_number_of_its_record_and_that_is_kept(tmp_path):
    journal = Journal(tmp_path / "j.sqlite", max_bytes=10**8, max_age_ms=10**9)
    journal.open()

    async def script(run):
        await run.done(commands.Hatch, hatch="lab--hall", state="open")
        (answer,) = [each for each in run.messages if "/rsp/" in each.topic]
        (record,) = [each for each in run.messages if each.topic.endswith("/event/command")]
        told, kept = json.loads(answer.payload), json.loads(record.payload)
        assert (answer.n, record.n) == (None, told["n"])
        head = {"v": 1, "gw": "g", "boot": "0001", "n": record.n, "t": told["t"]}
        assert (told, kept) == (head | kept["command"], head | {"kind": "command", "command": kept["command"]})
        await run.done(commands.Replay, first=record.n, last=record.n)
        await asyncio.sleep(1.0)
        assert [each for each in run.messages if each.n == record.n] == [record] * 2

    in_room(script, journal=journal)


def test_after_a_restart_a_command_is_still_not_obeyed_again(tmp_path):
    def journal():
        found = Journal(tmp_path / "j.sqlite", max_bytes=10**8, max_age_ms=10**12)
        found.open()
        return found

    payload = commands.build(
        commands.Hatch, id="h1", not_after=round((WALL_S + 60) * 1000), by="anna", hatch="lab--hall", state="open"
    )

    async def give(run):
        run.link.hear(f"{BASE}/cmd/g/hatch", payload)
        await asyncio.sleep(1.0)
        return run.on("rsp/g/h1")

    (first,) = in_room(give, journal=journal()).result
    assert first["status"] == "done"
    again = in_room(give, journal=journal(), boot="0002")
    assert again.result == [first]
    assert {hatch["state"] for hatch in again.on("hatch/lab--hall")} == {"open"}, "as it was told before the restart"
    assert again.gateway.desk.counts == {"duplicate": 1}


def test_a_bad_rig_file_is_refused_and_the_old_one_runs_on():
    def load():
        raise RigError(())

    async def script(run):
        code, text = await run.refused(commands.Reload)
        assert code == "bad_rig"
        assert text.startswith("the old one runs on")
        before_s = run.loop.time()
        await asyncio.sleep(3.5)
        assert len(run.since(before_s, "p1.pressure")) >= 3

    in_room(script, load=load)


def test_one_rig_file_is_read_at_a_time_and_one_that_hangs_stops_no_other_command(monkeypatch):
    hangs = Hanging()
    monkeypatch.setattr(operations_module, "in_own_thread", hangs)

    async def script(run):
        first = asyncio.create_task(run.command(commands.Reload))
        await asyncio.sleep(0.1)
        for _ in range(16):
            assert (await run.refused(commands.Reload))[0] == "busy"
        assert (await first)["code"] == "timed_out"
        await run.done(commands.Hatch, hatch="lab--hall", state="open")
        assert (await run.refused(commands.Reload))[0] == "busy", "it still hangs"
        hangs.let_go()
        await asyncio.sleep(1.0)
        assert len(hangs.works) == 1
        assert not run.gateway._operations.successor.done(), "it was given up"
        monkeypatch.undo()
        assert (await run.done(commands.Reload))["rig"] == "new"
        await asyncio.sleep(1.0)

    assert in_room(script, load=lambda: NewRig(rig=RIG, rig_hash="new")).handover.rig_hash == "new"


def test_of_two_rig_files_at_once_the_second_is_refused():
    loads = iter([NewRig(rig=RIG, rig_hash="first"), NewRig(rig=RIG, rig_hash="second")])

    async def script(run):
        assert (await run.done(commands.Reload))["rig"] == "first"
        await asyncio.sleep(0.1)
        assert (await run.refused(commands.Reload))[0] == "busy"
        await asyncio.sleep(1.0)

    handover = in_room(script, load=lambda: next(loads)).handover
    assert handover.rig_hash == "first"
    assert handover.counts == {"ok": 1, "busy": 1}


def test_what_is_wrong_with_a_rig_file_is_answered_without_a_line_of_it(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text('[station]\nid = "iss"\ngateway = "pi1"\n[mqtt]\npassword = { literal = "planted-81c" }\nx = 1\n')

    async def script(run):
        _, text = await run.refused(commands.Reload)
        assert text == f"the old one runs on: {path}:5: unknown key 'literal'; {path}:6: unknown key 'x'"

    in_room(script, load=lambda: load_rig(path))


def test_a_good_rig_file_takes_over_numbers_go_on_and_what_is_lost_is_counted(tmp_path):
    new_rig = rig(transducer={**WORDS["transducer"], "p3": WORDS["transducer"]["p2"] | {"unit": 7}})

    def journal():
        found = Journal(tmp_path / "j.sqlite", max_bytes=10**8, max_age_ms=10**9)
        found.open()
        return found

    async def ask(run):
        await run.done(commands.Hatch, hatch="lab--hall", state="open")
        run.command_id = run.on("event/command")[-1]["command"]["id"]
        await asyncio.sleep(2.0)
        assert await run.done(commands.Reload) == {"rig": "new", "transducers": 6}
        await asyncio.sleep(1.0)

    first = in_room(ask, journal=journal(), load=lambda: NewRig(rig=new_rig, rig_hash="new"))
    handover = first.handover
    assert isinstance(handover, Handover)
    assert (handover.rig, handover.rig_hash, handover.boot) == (new_rig, "new", "0001")
    assert [each["reason"] for each in first.on("gw/g/status")] == [None, "reload"]
    assert handover.hatches == {"lab--hall": "open"}

    async def look(run):
        assert (run.on("gw/g/meta")[0]["rig"], set(run.meta)) == ("new", {"p1", "p2", "p3", "w1", "w2", "g1"})
        assert run.on("hatch/lab--hall")[0]["state"] == "open"
        assert run.gateway.boot == "0001"
        numbers = [each.n for each in run.messages if each.n is not None]
        assert min(numbers) == handover.newest_n + 1
        link = run.gateway.carrier.statistics()
        assert run.gateway.health_check().losses(link.outbox)["missed_polls"] == 5 * 5  # 5 s, five units
        assert first.command_id in run.gateway.desk.seen
        assert run.gateway.desk.counts == first.gateway.desk.counts == {"ok": 2}

    after = replace(handover, ended_s=-5.0)
    in_room(look, the_rig=handover.rig, rig_hash="new", journal=journal(), handover=after)


def test_what_a_disk_did_not_take_before_a_rig_file_takes_over_is_named(tmp_path):
    def journal():
        found = Journal(tmp_path / "j.sqlite", max_bytes=10**8, max_age_ms=10**9)
        found.open()
        return found

    def refuse(*_args, **_words):
        raise JournalError("disk full")

    refusing = journal()

    async def ask(run):
        await asyncio.sleep(2.0)
        refusing.write = refusing.reopen = refuse
        run.link._drain = lambda: None  # nor has the broker it
        await asyncio.sleep(10.0)
        reload = commands.build(commands.Reload, id="x", not_after=round((WALL_S + 60) * 1000), by="anna")
        run.link.hear(f"{BASE}/cmd/g/reload", reload)
        await asyncio.sleep(2.0)

    first = in_room(ask, journal=refusing, load=lambda: NewRig(rig=RIG, rig_hash="new"))

    async def look(run):
        await asyncio.sleep(3.0)
        (event,) = run.on("event/journal")
        jsonschema.validate(event, schemas.schema("event"))
        low, high = event["journal"]["skipped"]
        got = {each.n for each in [*first.messages, *run.messages] if each.n is not None}
        missing = set(range(1, max(got))) - got
        assert missing
        assert missing <= set(range(low, high + 1))

    in_room(look, journal=journal(), handover=replace(first.handover, ended_s=-5.0))


def test_what_the_new_rig_file_lacks_is_taken_from_the_broker():
    async def ask(run):
        await run.done(commands.Reload)
        await asyncio.sleep(1.0)

    left = {name: WORDS["transducer"][name] for name in ("p1", "w1", "w2")}
    moved = left | {"p1": left["p1"] | {"segment": "hall"}}
    new_rig = rig(transducer=moved, hatch=[])
    first = in_room(ask, load=lambda: NewRig(rig=new_rig, rig_hash="new"))

    async def look(run):
        cleared = {each.topic.removeprefix(f"{BASE}/") for each in run.messages if each.retain and not each.payload}
        assert {topic for topic in cleared if not topic.startswith("alarm/")} == {
            "hatch/lab--hall", "seg/lab/state", "seg/hall/pressure/g1",
            *(f"seg/lab/{quantity}/{name}" for quantity in ("pressure", "temperature") for name in ("p1", "p2")),
        }  # fmt: skip
        said = {each.topic.removeprefix(f"{BASE}/") for each in run.messages if each.payload}
        assert {"seg/hall/pressure/p1", "seg/hall/state", "gw/g/status"} <= said
        assert not said & cleared

    in_room(look, the_rig=new_rig, rig_hash="new", handover=replace(first.handover, ended_s=-5.0))


def test_a_clock_that_comes_right_while_a_rig_file_takes_over_corrects_what_was_said_before():
    async def ask(run):
        await run.done(commands.Reload)
        await asyncio.sleep(1.0)

    first = in_room(ask, load=lambda: NewRig(rig=RIG, rig_hash="new"), sync=lambda: "free")
    assert first.handover.free_since == 1

    async def look(run):
        (event,) = run.on("event/clock")
        assert event["clock"] == {
            "before": "free", "after": "ntp", "step_ms": 3_600_000, "since": 1, "correction_ms": 3_600_000,
        }  # fmt: skip
        assert event["n"] > first.handover.newest_n
        assert event["boot"] == "0001"

    def right():
        return WALL_S + 3600.0 + asyncio.get_running_loop().time()

    in_room(look, handover=replace(first.handover, ended_s=-5.0), wall=right)


def test_a_shelved_alarm_is_silent_for_its_time():
    async def script(run):
        run.fleet.world.leak("lab", 2.0, round((run.loop.time() + 60) * 1e9))
        while not run.gateway.findings.alarms:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(1.0)
        (alarm,) = run.gateway.findings.alarms
        name = alarm.condition.id
        assert (await run.done(commands.Shelve, alarm=name, lasts_s=100.0))["state"] == "shelved"
        said = len(run.on(f"alarm/{name}"))
        until = run.on(f"alarm/{name}")[-1]["shelved_until"]
        assert until == round((WALL_S + run.loop.time() + 100) * 1000) or math.isclose(until, 1e12, rel_tol=1e-3)
        await asyncio.sleep(95.0)
        assert len(run.on(f"alarm/{name}")) == said
        await asyncio.sleep(10.0)
        later = run.on(f"alarm/{name}")[said:]
        assert later[0]["state"] == "unacknowledged"
        assert later[0]["shelved_until"] is None
        await run.done(commands.Shelve, alarm=name, lasts_s=100.0)
        assert (await run.done(commands.Acknowledge, alarm=name))["state"] == "acknowledged"

    in_room(script, first_s=10.0)
