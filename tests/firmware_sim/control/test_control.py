import asyncio
import struct

import pytest

from drivers.rig import Rig
from drivers.trace.records import Trace
from firmware_sim import EmulatorError
from firmware_sim.clock import run_virtual
from firmware_sim.control import ControlError
from firmware_sim.control.control import VERBS, Control
from firmware_sim.events import KINDS
from firmware_sim.fleet import MARK, Fleet
from firmware_sim.physics.world import World
from firmware_sim.scenario import parse_scenario
from tests.firmware_sim.devices import Client, S, Steady, mbap, rig, rtu

STATION = Rig.model_validate(
    {
        "station": {"id": "iss", "gateway": "pi"},
        "segment": {"a": {"volume": "10 m3"}, "b": {"volume": "30 m3"}, "c": {"volume": "10 m3"}},
        "hatch": [{"between": ["a", "b"], "state": "open"}, {"between": ["b", "c"], "state": "closed"}],
        "bus": {
            "b": {"kind": "serial", "port": "-", "baud": 19200},
            "t": {"kind": "modbus-tcp", "port": "10.0.0.1:502"},
        },
        "transducer": {
            "p1": {
                "model": "modbus-map",
                "bus": "b",
                "unit": 1,
                "segment": "a",
                "map": {"pressure": {"address": 0, "unit": "Pa"}},
            },
            "k1": {"model": "keller-33x", "bus": "b", "unit": 7, "segment": "c"},
            "p2": {
                "model": "modbus-map",
                "bus": "t",
                "unit": 1,
                "segment": "c",
                "map": {"pressure": {"address": 0, "unit": "Pa"}},
            },
        },
        "emulator": {"seed": 1, "grade": "A"},
    }
)


def controlled(act, *, words=STATION, world=None, events=None, **more):
    """Serve a rig in virtual time, run `act(control, fleet)`, return its result; events go to the list."""

    async def main():
        fleet = Fleet(words, world=world or World(words), **more)
        if events is not None:
            fleet.events.subscribe(lambda event: events.append(event.row()))
        async with fleet.serve(memory=True):
            return await act(Control(fleet), fleet)

    return run_virtual(main())


def pressure(answer):
    return struct.unpack(">f", answer[3:7])[0]


def test_status_says_what_there_is_and_how_it_goes():
    async def act(control, fleet):
        await asyncio.sleep(2)
        await Client(fleet).ask(rtu(1))
        control.inject("silence:p1@60s")
        control.snapshot("begin")
        return control.status()

    status = controlled(act)
    assert (status["station"], status["seed"], status["paused"], status["speed"]) == ("iss", 1, False, 1.0)
    assert status["t_ns"] == 2 * S + 50_000_000
    line = status["buses"]["b"]
    assert (line["port"], line["plugged"], line["units"], line["unheard"]) == ("memory:b", True, [1, 7], 0)
    assert (line["requests"], line["answers"], line["host_bytes"]) == (1, 1, 8)
    assert status["buses"]["t"]["kind"] == "modbus-tcp"
    assert "requests" not in status["buses"]["t"]
    assert status["transducers"]["k1"] == {"model": "keller-33x", "bus": "b", "unit": 7, "segment": "c"}
    assert (status["faults"], status["snapshots"]) == (1, {"begin": 2 * S + 50_000_000})


def test_get_shows_the_truth_at_a_path_or_below_it():
    async def act(control, fleet):
        reads = len(fleet.world.sensor("p1").read(0))
        return control.get(), control.get("segment.a"), control.get("segment.a.pressure"), control.get("hatch"), reads

    tree, a, pressure_pa, hatches, _ = controlled(act)
    assert list(tree) == ["segment", "hatch", "coolant", "opening", "machine", "transducer"]
    assert pressure_pa == pytest.approx(101_325, rel=0.01)
    assert a["pressure"] == pressure_pa
    assert sum(a[gas] for gas in ("N2", "O2", "CO2", "H2O")) == pytest.approx(pressure_pa)
    assert a["volume"] == 10
    assert {name: each["state"] for name, each in hatches.items()} == {"a--b": "open", "b--c": "closed"}
    assert tree["transducer"]["p1"] == {"segment": "a", "offset": 0, "drift": 0, "stuck": False}


def test_get_draws_no_noise():
    async def act(control, fleet):
        client = Client(fleet)
        return [await client.ask(rtu(1)) for _ in range(3) if not look or control.get()]

    look = False
    plain = controlled(act)
    look = True
    assert controlled(act) == plain


@pytest.mark.parametrize(
    ("path", "value", "truth"),
    [
        ("segment.c.pressure", "90 kPa", 90_000),
        ("segment.c.temperature", "35 C", 308.15),
        ("segment.c.CO2", "800 Pa", 800),
        ("segment.a.pressure", "93325 Pa", None),
        ("hatch.b--c.state", "open", "open"),
        ("hatch.b--c.seal", "2 mm2", 2e-6),
        ("hatch.a--b.ventilation", "30 L/s", 0.03),
        ("transducer.p1.offset", "-12 Pa", -12),
        ("transducer.p1.drift", "1 Pa/s", 1),
        ("transducer.p1.stuck", "true", True),
    ],
)
def test_set_changes_a_quantity_at_once_also_while_time_stands(path, value, truth):
    async def act(control, fleet):
        await asyncio.sleep(5)
        control.pause()
        before = control.get(path)
        return before, control.set(path, value), control.get(path), control.get()

    before, told, after, tree = controlled(act)
    assert told == {"path": path, "value": after}
    assert before != after
    if truth is None:  # a quarter of the way, for a and b are one body of 40 m3, of which a is 10
        assert tree["segment"]["a"]["pressure"] == pytest.approx(tree["segment"]["b"]["pressure"])
        assert after == pytest.approx(before - 2000, abs=20)
    else:
        assert after == (truth if isinstance(truth, str) else pytest.approx(truth, rel=1e-9))


def test_setting_partial_pressures_and_temperature_moves_the_pressure_as_gas_does():
    async def act(control, fleet):
        control.pause()
        first = control.get("segment.c")
        control.set("segment.c.CO2", "2 kPa")
        richer = control.get("segment.c")
        control.set("segment.c.temperature", "310 K")
        return first, richer, control.get("segment.c")

    first, richer, warmer = controlled(act)
    assert richer["pressure"] - first["pressure"] == pytest.approx(2000 - first["CO2"])
    assert richer["N2"] == pytest.approx(first["N2"])
    assert warmer["pressure"] / richer["pressure"] == pytest.approx(310 / richer["temperature"])


def test_what_is_set_shows_in_the_readings():
    async def act(control, fleet):
        client = Client(fleet)
        before = pressure(await client.ask(rtu(1), wait_s=1))
        control.set("transducer.p1.offset", "500 Pa")
        offset = pressure(await client.ask(rtu(1), wait_s=1))
        control.set("transducer.p1.drift", "100 Pa/s")
        await asyncio.sleep(10)
        drifted = pressure(await client.ask(rtu(1), wait_s=1))
        assert control.get("transducer.p1.offset") == pytest.approx(500 + 100 * 11)
        control.do({"do": "sensor", "transducer": "p1"})
        return before, offset, drifted, pressure(await client.ask(rtu(1)))

    before, offset, drifted, well = controlled(act)
    assert offset - before == pytest.approx(500, abs=3)
    assert drifted - before == pytest.approx(500 + 100 * 10, abs=8)
    assert well == pytest.approx(before, abs=8)


def test_a_deed_happens_now_or_at_a_time_to_come_and_is_told_then():
    events = []

    async def act(control, fleet):
        await asyncio.sleep(3)
        now = control.do({"do": "hole", "segment": "c", "diameter": "5 mm"})
        later = control.do({"do": "shut", "name": "c", "at": "10 s"})
        told, openings = len(events), control.get("opening")
        await asyncio.sleep(60)
        return now, later, told, openings, control.get("opening")

    now, later, told, openings, closed = controlled(act, events=events)
    assert (now, later) == ({"do": "hole", "t_ns": 3 * S}, {"do": "shut", "t_ns": 10 * S})
    assert (list(openings), closed, told) == (["c"], {}, 1)
    assert [(event["event"], event["t_ns"], event["do"]) for event in events] == [
        ("deed", 3 * S, "hole"),
        ("deed", 10 * S, "shut"),
    ]
    assert events[0]["words"] == {"segment": "c", "diameter": 0.005}


def test_a_scenarios_deeds_are_told_at_their_times():
    events = []
    text = 'title = "t"\n[[event]]\nat = "2 s"\ndo = "crew"\nsegment = "a"\ncount = 3\n'
    scenario = parse_scenario(text, "t.toml")

    async def act(control, fleet):
        for deed in scenario.events:
            control.expect(deed)
        fleet.events.set_alarm()
        await asyncio.sleep(5)
        return control.get("machine")

    assert list(controlled(act, world=scenario.world(STATION), events=events)) == ["crew a"]
    assert [(event["t_ns"], event["do"]) for event in events] == [(2 * S, "crew")]


def test_faults_are_injected_listed_counted_and_cleared():
    events = []

    async def act(control, fleet):
        client = Client(fleet)
        first = control.inject("silence:p1@#1")
        control.inject("crc:p1@60s+1s")
        silent = await client.ask(rtu(1))
        listed = control.faults()
        cleared = control.clear(first["number"])
        answered = await client.ask(rtu(1))
        control.inject("late:*")
        return silent, listed, cleared, len(answered), control.clear(), control.clear(), control.faults()

    silent, listed, cleared, answered, rest, none, left = controlled(act, events=events)
    assert (silent, answered) == (b"", 9)
    assert [(each["number"], each["state"], each["struck"]) for each in listed] == [(1, "lasts", 1), (2, "waits", 0)]
    assert (cleared, rest, none, left) == ({"cleared": [1]}, {"cleared": [2, 3]}, {"cleared": []}, [])
    assert [(event["event"], event.get("number")) for event in events] == [
        ("injected", 1),
        ("injected", 2),
        ("struck", None),
        ("cleared", 1),
        ("injected", 3),
        ("cleared", 2),
        ("cleared", 3),
    ]
    assert events[2] == {"event": "struck", "t_ns": events[2]["t_ns"], "bus": "b", "unit": 1, "kinds": ["silence"]}


def test_paused_devices_are_silent_and_answer_when_time_goes_on():
    async def act(control, fleet):
        client = Client(fleet)
        control.pause()
        silent = await client.ask(rtu(1), wait_s=5)
        stepped = await control.step("100 ms")
        answered = client.bytes
        control.resume()
        return silent, answered, len(await client.ask(rtu(1))), stepped

    silent, answered, again, stepped = controlled(act)
    assert (silent, len(answered), again) == (b"", 9, 9)
    assert stepped == {"span_s": pytest.approx(0.1), "t_ns": 100_000_000}


def test_paused_units_behind_modbus_tcp_are_silent_too():
    async def act(control, fleet):
        client = Client(fleet, "t")
        control.pause()
        silent = await client.ask(mbap(1, 5), wait_s=5)
        await control.step("1 ms")
        return silent, client.bytes[:2]

    assert controlled(act) == (b"", b"\0\5")


def test_what_a_host_writes_on_while_time_stands_is_bounded_and_counted():
    async def act(control, fleet):
        client = Client(fleet)
        control.pause()
        for _ in range(1000):
            client.write(rtu(1))
        lost = control.status()["buses"]["b"]["unheard"]
        control.resume()
        await asyncio.sleep(10)
        return lost, len(await client.ask(rtu(1)))

    assert controlled(act) == (8000 - 4096, 9)


def test_a_device_that_talks_by_itself_follows_pause_and_speed():
    words = rig(model="vaisala-ptb330", units=(0,), baud=4800, format="7E1")
    sent = []

    async def act(control, fleet):
        client = Client(fleet)
        await client.ask(b"R\r\n", wait_s=10)
        sent.append(client.bytes.count(b"\n"))
        control.pause()
        client.received.clear()
        await asyncio.sleep(10)
        sent.append(len(client.received))
        control.speed(10)
        control.resume()
        await asyncio.sleep(10)
        sent.append(client.bytes.count(b"\n"))

    controlled(act, words=words)
    assert sent[0] == pytest.approx(10, abs=2)
    assert sent[1] == 0
    assert sent[2] == pytest.approx(100, abs=2)


def test_plugs_follow_the_clock_also_within_a_step():
    events = []

    async def act(control, fleet):
        control.inject("unplug:b@2s+3s")
        control.pause()
        await asyncio.sleep(10)
        there = control.status()["buses"]["b"]["plugged"]
        await control.step("2500 ms")
        gone = control.status()["buses"]["b"]["plugged"]
        with pytest.raises(ConnectionError):
            Client(fleet)
        await control.step("1 min")
        return there, gone, len(Client(fleet).bytes)

    assert controlled(act, events=events) == (True, False, 0)
    plugs = [(event["event"], event["t_ns"]) for event in events if "plugged" in event["event"]]
    assert plugs == [("unplugged", 2 * S), ("plugged", 5 * S)]


def test_speed_makes_lines_faster():
    async def act(control, fleet):
        client = Client(fleet)
        control.speed(1000)
        began = fleet.now_ns()
        return await client.ask(rtu(1), wait_s=0.001), fleet.now_ns() - began

    answer, passed_ns = controlled(act)
    assert len(answer) == 9
    assert passed_ns == pytest.approx(1 * S)


def test_a_reboot_is_a_power_cut():
    events, trace = [], Trace()

    async def act(control, fleet):
        return control.reboot("k1")

    told = controlled(act, events=events, trace=trace)
    assert (told["bus"], told["unit"]) == ("b", 7)
    assert [(event["event"], event["bus"], event["unit"]) for event in events] == [("rebooted", "b", 7)]
    assert [(record.talker, record.note) for record in trace.records] == [("unit 7", "reboot")]


def test_a_streaming_device_stops_when_its_power_is_cut():
    words = rig(model="vaisala-ptb330", units=(0,), baud=4800, format="7E1")

    async def act(control, fleet):
        client = Client(fleet)
        await client.ask(b"R\r\n", wait_s=3.5)
        control.reboot("p0")
        client.received.clear()
        await asyncio.sleep(10)
        return client.bytes

    assert controlled(act, words=words) == b"\r\n>"


def test_a_unit_behind_modbus_tcp_restarts_too():
    async def act(control, fleet):
        client = Client(fleet, "t")
        control.reboot("p2")
        deaf = await client.ask(mbap(1, 1), wait_s=0.01)
        await asyncio.sleep(5)
        return deaf, len(await client.ask(mbap(1, 2)))

    assert controlled(act) == (b"", 13)


def test_a_mark_is_in_the_trace_and_among_the_events():
    events, trace = [], Trace()

    async def act(control, fleet):
        await asyncio.sleep(1)
        control.mark("pump on")

    controlled(act, events=events, trace=trace)
    assert events == [{"event": "mark", "t_ns": S, "text": "pump on"}]
    assert [(record.t_ns, record.talker, record.note) for record in trace.records] == [(S, MARK, "pump on")]


def test_snapshots_have_names_and_a_limit():
    async def act(control, fleet):
        control.snapshot()
        await asyncio.sleep(5)
        control.snapshot("later")
        control.restore()
        at_ns = fleet.now_ns()
        control.restore("later")
        for number in range(14):
            control.snapshot(f"n{number}")
        with pytest.raises(ControlError, match="16 snapshots are kept already: use one of last, later, n0"):
            control.snapshot("one-more")
        control.snapshot("n3")
        return at_ns, fleet.now_ns(), len(control.status()["snapshots"])

    assert controlled(act) == (0, 5 * S, 16)


def test_a_restored_future_is_told_again_and_a_fault_cleared_meanwhile_is_back():
    events = []

    async def act(control, fleet):
        control.do({"do": "crew", "segment": "a", "count": 2, "at": "4 s"})
        control.inject("silence:p1")
        control.snapshot()
        for _ in range(2):
            control.clear()
            await asyncio.sleep(6)
            control.restore()
        return len(control.faults()), await Client(fleet).ask(rtu(1))

    assert controlled(act, events=events) == (1, b"")
    assert [event["t_ns"] for event in events if event["event"] == "deed"] == [4 * S, 4 * S]


def test_the_hosts_speed_is_its_own_and_survives_a_return():
    async def act(control, fleet):
        control.snapshot()
        fleet.lines["b"].set_host(9600, "8N1")
        control.restore()
        return fleet.lines["b"].host

    assert controlled(act) == (9600, "8N1")


def test_every_event_is_of_a_known_kind():
    events = []

    async def act(control, fleet):
        control.inject("unplug:b@1s+1s")
        control.inject("duplicate:p2")
        await Client(fleet, "t").ask(mbap(1, 1))
        control.do({"do": "shut", "name": "x"})
        control.reboot("p1")
        control.pause()
        await control.step("5 s")
        control.speed(2)
        control.resume()
        control.snapshot()
        control.restore()
        control.mark("x")
        control.inject("truncate:p2")
        await Client(fleet, "t").ask(mbap(1, 1))
        control.clear()

    controlled(act, events=events)
    assert {event["event"] for event in events} == set(KINDS) - {"dropped"}  # that one is the server's


WRONG = [
    ("bogus", {}, r"no verb 'bogus' \(known: status, get"),
    ("stauts", {}, "did you mean 'status'"),
    ("get", {"path": "segmnt.a"}, "no kind of thing 'segmnt', did you mean 'segment'"),
    ("get", {"path": "segment.z"}, r"get: no segment 'z' \(known: a, b, c\)"),
    ("get", {"path": "segment.a.presure"}, "no quantity of segment a 'presure', did you mean 'pressure'"),
    ("get", {"path": "opening.x.rate"}, r"no opening 'x' \(known: none\)"),
    ("get", {"path": 3}, "get: 'path' must be a text"),
    ("get", {"pth": "x"}, r"get takes no 'pth', did you mean 'path'\? \(it takes: path\)"),
    ("pause", {"now": "x"}, r"pause takes no 'now' \(it takes: nothing\)"),
    (
        "set",
        {"path": "segment.a.volume", "value": "3 m3"},
        "'segment.a.volume' cannot be set; what can: segment.ID.pressure",
    ),
    ("set", {"path": "segment.a", "value": "3 m3"}, "'segment.a' cannot be set"),
    ("set", {"path": "segment.a.pressure", "value": "3 m3"}, "'m3' is a unit of volume, not of pressure"),
    ("set", {"path": "segment.a.pressure", "value": "90"}, 'needs a unit: write "90 Pa"'),
    ("set", {"path": "segment.a.pressure"}, "set needs value: the quantity at a `path`"),
    ("set", {"path": "segment.a.pressure", "value": 90000}, "set: 'value' must be a text"),
    ("set", {"path": "segment.a.pressure", "value": "1e12 Pa"}, "less than or equal to 10000000"),
    ("set", {"path": "transducer.p1.stuck", "value": "maybe"}, "stuck: input should be a valid boolean"),
    ("set", {"path": "hatch.a--b.state", "value": "ajar"}, "state: input should be 'open', 'closed' or 'valve'"),
    ("do", {"deed": {"do": "hle"}}, "nothing is called 'hle', did you mean 'hole'"),
    ("do", {"deed": {}}, "an event needs `do`: one of hole, crack"),
    ("do", {"deed": {"do": "hole", "segment": "z", "diameter": "1 mm"}}, "no segment 'z' in the rig"),
    ("do", {"deed": {"do": "hole", "segment": "a"}}, "hole: missing key 'diameter'"),
    ("do", {"deed": {"do": "air", "segment": "a"}}, "tell temperature, pressure, or one of N2"),
    ("do", {"deed": {"do": "air", "segment": "a", "pressure": "1 Pa", "N2": "1 Pa"}}, "the one or the others"),
    ("do", {"deed": {"do": "shut", "name": "x", "at": "1 s"}}, "at 1 s is over: it is 2.000 s; leave `at` out for now"),
    ("do", {"deed": {"do": "shut", "name": "x", "at": "9e8 s"}}, "too far ahead: at most 3650 d"),
    (
        "do",
        {"deed": {"do": "shut", "name": "x", "at": "1e300 s"}},
        "at: input should be less than or equal to",
    ),
    ("do", {"deed": "hole"}, "do: 'deed' must be an object"),
    ("inject", {"fault": "lat:p1"}, "did you mean 'late'"),
    ("inject", {"fault": "late:p9"}, "no transducer or bus 'p9'"),
    ("clear", {"number": 9}, r"no fault in force has the number 9 \(known: none\)"),
    ("clear", {"number": True}, "clear: 'number' must be a whole number"),
    ("step", {"span": "10"}, 'needs a unit: write "10 s"'),
    ("step", {"span": "-1 s"}, "time does not go back; restore a snapshot"),
    ("step", {"span": "2 d"}, "too long for one step: at most 1 d, then again"),
    ("speed", {"factor": 0}, "0 is not within 0.001..1000; to stop, pause"),
    ("speed", {"factor": "x"}, "speed: 'factor' must be a number"),
    ("reboot", {"transducer": "p9"}, r"no transducer 'p9' \(known: p1, k1, p2\)"),
    ("snapshot", {"name": "a b"}, "'a b' is no name"),
    ("restore", {"name": "x"}, r"no snapshot 'x' \(known: none\)"),
    ("mark", {"text": "a\nb"}, "a remark is one line"),
]


@pytest.mark.parametrize(("verb", "words", "complaint"), WRONG)
def test_a_wrong_request_is_told_what_is_wrong_and_changes_nothing(verb, words, complaint):
    async def act(control, fleet):
        await asyncio.sleep(2)
        before = control.status(), control.get()
        with pytest.raises(ControlError, match=complaint):
            await control.call(verb, words)
        return before == (control.status(), control.get())

    assert controlled(act)


def test_call_does_what_the_methods_do():
    async def act(control, fleet):
        await control.call("pause", {})
        stepped = await control.call("step", {"span": "3 s"})
        cleared = await control.call("clear", {"number": None})
        return stepped["t_ns"], cleared, await control.call("get", {"path": "hatch.a--b.state"})

    assert controlled(act) == (3 * S, {"cleared": []}, "open")


def test_every_verb_is_a_method_with_a_line_of_its_own():
    assert {name for name in vars(Control) if not name.startswith("_")} == {*VERBS, "call", "expect"}


def test_somebody_elses_world_has_no_physics_to_control():
    async def act(control, fleet):
        with pytest.raises(EmulatorError, match="not the emulator's own"):
            await control.call("get", {})
        control.snapshot()
        await Client(fleet).ask(rtu(1))
        control.restore()
        return fleet.world.reads

    assert controlled(act, words=rig(), world=Steady()) == 0


def test_before_the_start_time_cannot_be_paused():
    with pytest.raises(EmulatorError, match=r"await fleet\.start"):
        Control(Fleet(STATION, world=World(STATION))).pause()
