import asyncio
import struct

import pytest

from drivers.rig import Rig
from drivers.trace.records import Trace
from firmware_sim.clock import run_virtual
from firmware_sim.fault_kinds import FaultError
from firmware_sim.fleet import Fleet, FleetError
from firmware_sim.line_time import silence_ns, span_ns
from firmware_sim.physics.world import World
from tests.firmware_sim.devices import Client, bus, crc, fleet, framed, mbap, rig, rtu


def pressure(answer):
    assert crc(answer[:-2]) == int.from_bytes(answer[-2:], "little")
    return struct.unpack(">f", answer[3:7])[0]


def in_memory(words, act, **more):
    """Serve a rig in virtual time, run `act(fleet)`, return its result."""

    async def main():
        async with fleet(words, **more).serve(memory=True) as served:
            return await act(served)

    return run_virtual(main())


def test_a_transducer_answers_with_what_its_sensor_feels():
    async def act(served):
        return await Client(served).ask(rtu(1))

    assert pressure(in_memory(rig(), act)) == pytest.approx(100_001.0)


def test_eight_stations_on_one_line_for_an_hour_of_virtual_time():
    async def act(served):
        client = Client(served)
        values = {}
        for _ in range(450):
            for unit in range(1, 9):
                answer = await client.ask(rtu(unit), wait_s=1.0)
                assert answer[0] == unit
                values[unit] = pressure(answer)
        return served.now_ns(), len(values), served.lines["b"].statistics

    now, units, statistics = in_memory(rig(units=range(1, 9)), act)
    assert now == 3_600 * 10**9
    assert units == 8
    assert (statistics.requests, statistics.answers, statistics.violations, statistics.collisions) == (3600, 3600, 0, 0)


def test_an_answer_takes_the_lines_time():
    async def act(served):
        client = Client(served)
        await asyncio.sleep(3)
        at = served.now_ns()
        await client.ask(rtu(1))
        return client.received[-1][0] - at

    least = span_ns(bus(), 8) + silence_ns(bus()) + span_ns(bus(), 9)
    assert least <= in_memory(rig(), act) < least + 20_000_000


def history(seed, faults=()):
    async def act(served):
        client = Client(served)
        for number in range(60):
            await client.ask(rtu(1 + number % 3), wait_s=0.2)

    trace = Trace()
    words = rig(units=(1, 2, 3), seed=seed)
    in_memory(words, act, trace=trace, faults=faults)
    return trace


def test_same_seed_same_history_another_seed_another():
    faults = ["crc:*@30%", "noise:b@10%", "silence:p2@20%"]
    assert history(1, faults).hash() == history(1, faults).hash()
    assert history(1, faults).hash() != history(2, faults).hash()


def test_the_trace_names_talkers_and_faults():
    trace = history(1, ["crc:p2@#1"])
    assert {record.talker for record in trace.records} == {"host", "unit 1", "unit 2", "unit 3"}
    assert [record.note for record in trace.records if record.note] == ["crc"]
    assert sum(record.talker == "host" for record in trace.records) == 60
    assert [record.t_ns for record in trace.records if record.talker == "host"] == [k * 200_000_000 for k in range(60)]


def test_the_rig_files_faults_are_in_force_and_can_be_cleared():
    async def act(served):
        client = Client(served)
        silent = await client.ask(rtu(1))
        (fault,) = served.faults
        served.faults.clear(fault)
        answered = await client.ask(rtu(1))
        served.faults.inject("silence:p1")
        return silent, len(answered), await client.ask(rtu(1))

    assert in_memory(rig(faults=["silence:p1"]), act) == (b"", 9, b"")


def test_a_stuck_sensor_repeats_itself():
    async def act(served):
        client = Client(served)
        return [pressure(await client.ask(rtu(1), wait_s=1.0)) for _ in range(6)]

    values = in_memory(rig(faults=["stuck:p1@2s+2s"]), act)
    assert values == [100_001, 100_002, 100_003, 100_003, 100_004, 100_005]


def test_unplugged_and_plugged_in_again():
    async def act(served):
        client = Client(served)
        await asyncio.sleep(1.5)
        with pytest.raises(ConnectionError, match="unplugged"):
            client.write(rtu(1))
        with pytest.raises(ConnectionError, match="unplugged"):
            Client(served)
        await asyncio.sleep(2)
        again = Client(served)
        return client.losses, len(await again.ask(rtu(1))), again.losses

    assert in_memory(rig(faults=["unplug:b@1s+2s"]), act) == (1, 9, 0)


def test_a_cleared_unplug_brings_the_port_back():
    async def act(served):
        await asyncio.sleep(1)
        served.faults.inject("unplug:b")
        await asyncio.sleep(1)
        with pytest.raises(ConnectionError):
            Client(served)
        served.faults.clear()
        await asyncio.sleep(1)
        return len(await Client(served).ask(rtu(1)))

    assert in_memory(rig(), act) == 9


def test_an_echoing_adapter():
    async def act(served):
        return await Client(served).ask(rtu(1))

    answer = in_memory(rig(), act, echo={"b"})
    assert answer.startswith(rtu(1))
    assert len(answer) == 17


def test_a_model_without_a_twin_is_named():
    with pytest.raises(FleetError, match=r"transducer p1: no twin emulates the model 'mystery' .*modbus-map"):
        fleet(rig(model="mystery"))


def test_two_models_at_one_address_are_named():
    words = Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi"},
            "segment": {"s": {}},
            "bus": {"b": {"kind": "serial", "port": "-"}},
            "transducer": {
                "a": {"model": "keller-33x", "bus": "b", "unit": 1, "segment": "s"},
                "c": {"model": "paroscientific-6000", "bus": "b", "unit": 1, "segment": "s"},
            },
        }
    )
    with pytest.raises(FleetError, match="keller-33x for a, a paroscientific-6000 for c"):
        fleet(words)


def test_a_fault_on_nothing_is_refused_before_anything_starts():
    with pytest.raises(FaultError, match="no transducer or bus 'p9'"):
        fleet(rig(), faults=["silence:p9"])


def test_a_leak_in_the_world_shows_in_the_readings():
    words = rig()
    world = World(words)

    async def main():
        async with Fleet(words, world=world).serve(memory=True) as served:
            client = Client(served)
            before = pressure(await client.ask(rtu(1), wait_s=1))
            world.leak("s", 100.0, served.now_ns())
            await asyncio.sleep(100)
            return before - pressure(await client.ask(rtu(1)))

    assert 9_000 < run_virtual(main()) < 11_000


# Modbus TCP


def tcp(units=(1,), **more):
    return rig(kind="modbus-tcp", units=units, **more)


def test_modbus_tcp_answers_with_its_transaction_number():
    async def act(served):
        return await Client(served).ask(mbap(1, 77))

    answer = in_memory(tcp(), act)
    assert answer[:7] == b"\x00\x4d\x00\x00\x00\x07\x01"
    assert struct.unpack(">f", answer[9:])[0] == 100_001


def test_an_unknown_unit_gets_exception_0b():
    async def act(served):
        return await Client(served).ask(mbap(9, 1))

    assert in_memory(tcp(), act) == mbap(9, 1, b"\x83\x0b")


def test_several_requests_in_flight_and_in_pieces():
    async def act(served):
        client = Client(served)
        whole = b"".join(mbap(1 + number % 2, number) for number in range(6))
        client.write(whole[:15])
        client.write(whole[15:])
        await asyncio.sleep(1)
        return client.bytes

    answers = in_memory(tcp(units=(1, 2)), act)
    assert [answers[at + 1] for at in range(0, len(answers), 13)] == [0, 1, 2, 3, 4, 5]


def test_a_busy_unit_answers_in_order_and_holds_up_no_other():
    async def act(served):
        client = Client(served)
        for number, unit in enumerate((1, 1, 2)):
            client.write(mbap(unit, number))
        await asyncio.sleep(1)
        return [(round(at / 1e6), data[1]) for at, data in client.received]

    assert in_memory(tcp(units=(1, 2), faults=["late:p1@#1,delay=400ms"]), act) == [(0, 2), (400, 0), (400, 1)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("silence:p1", lambda good: b""),
        ("exception:p1,code=6", lambda good: mbap(1, 5, b"\x83\x06")),
        ("foreign:p1,unit=3", lambda good: good[:6] + b"\x03" + good[7:]),
        ("truncate:p1,bytes=8", lambda good: good[:8]),
        ("duplicate:p1", lambda good: good * 2),
    ],
)
def test_faults_of_modbus_tcp(spec, expected):
    async def act(served):
        return await Client(served).ask(mbap(1, 5))

    good = in_memory(tcp(), act)
    assert len(good) == 13
    assert in_memory(tcp(faults=[spec]), act) == expected(good)


@pytest.mark.parametrize(
    ("words", "spec", "message"),
    [
        (tcp(), "crc:p1", r"on modbus-tcp, which is all that 'p1' has; what can: stuck, .*silence, .*skew, cut$"),
        (tcp(), "bits:b", r"'bits' cannot happen on modbus-tcp, which is all that 'b' has"),
        (tcp(), "noise:*", r"'noise' cannot happen on modbus-tcp"),
        (rig(model="paroscientific-6000"), "function:b", r"'function' cannot happen on lines of text"),
        (
            rig(kind="line-over-udp", model="paroscientific-6000"),
            "babble:p1",
            r"'babble' cannot happen on line-over-udp",
        ),
    ],
)
def test_what_cannot_happen_to_a_target_is_refused_at_the_start_and_later(words, spec, message):
    with pytest.raises(FaultError, match=message):
        fleet(words, faults=[spec])
    later = fleet(words)
    with pytest.raises(FaultError, match=message):
        later.faults.inject(spec)
    assert list(later.faults) == []


def test_what_can_happen_to_some_of_a_target_is_taken():
    line, network = rig(), tcp(units=(2,))
    moved = network.transducers["p2"].model_copy(update={"bus": "c"})
    words = line.model_copy(
        update={
            "buses": line.buses | {"c": network.buses["b"]},
            "transducers": line.transducers | {"p2": moved},
        }
    )
    assert [each.kind for each in fleet(words, faults=["crc:*", "bits:*", "crc:p1"]).faults] == ["crc", "bits", "crc"]
    with pytest.raises(FaultError, match="all that 'p2' has"):
        fleet(words, faults=["crc:p2"])


def test_two_clients_get_their_own_answers():
    async def act(served):
        first, second = Client(served), Client(served)
        first.write(mbap(1, 1))
        second.write(mbap(1, 2))
        await asyncio.sleep(1)
        return first.bytes[:2], second.bytes[:2]

    assert in_memory(tcp(), act) == (b"\0\1", b"\0\2")


def test_what_is_no_modbus_tcp_gets_no_answer_and_does_no_harm():
    async def act(served):
        client = Client(served)
        nothing = await client.ask(b"GET / HTTP/1.1\r\n\r\n")
        return nothing, len(await client.ask(mbap(1, 1)))

    assert in_memory(tcp(), act) == (b"", 13)


def test_a_text_device_cannot_be_behind_modbus_tcp():
    with pytest.raises(FleetError, match=r"'paroscientific-6000' does not speak Modbus TCP"):
        fleet(tcp(model="paroscientific-6000"))


def test_modbus_tcp_is_traced():
    async def act(served):
        await Client(served).ask(mbap(1, 5))

    trace = Trace()
    in_memory(tcp(), act, trace=trace)
    assert [(record.talker, len(record.data)) for record in trace.records] == [("host", 12), ("unit 1", 13)]


def test_a_renamed_port_is_dead_under_its_own_name_until_the_time_is_over():
    told = []

    async def act(served):
        client = Client(served)
        await asyncio.sleep(1.5)
        with pytest.raises(ConnectionError, match="unplugged"):
            Client(served)
        address = served.ports["b"]
        other = len(await Client(served, "b-renamed").ask(rtu(1)))
        await asyncio.sleep(2)
        return client.losses, address, other, len(await Client(served).ask(rtu(1))), served.ports["b"]

    result = in_memory(rig(faults=["rename:b@1s+2s"]), act, tell=told.append)
    assert result == (1, "memory:b-renamed", 9, 9, "memory:b")
    assert told == ["bus b: its port goes by memory:b-renamed now"]


def test_a_renamed_pty_and_tcp_port_answer_under_another_address():
    async def main(kind):
        async with fleet(rig(kind=kind)).serve() as served:
            own = served.ports["b"]
            served.faults.inject("rename:b")
            async with asyncio.timeout(5):
                while served.ports["b"] == own:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            return own, served.ports["b"]

    own, other = asyncio.run(main("serial"))
    assert other == f"{own}-renamed"
    own, other = asyncio.run(main("modbus-tcp"))
    assert own != other


def test_the_clients_format_can_be_said_where_no_port_carries_it():
    async def act(served):
        return await Client(served).ask(rtu(1))

    assert len(in_memory(rig(format="8E1"), act)) == 9
    assert in_memory(rig(format="8E1"), act, formats={"b": "8N1"}) == b""
    assert len(in_memory(rig(format="8N2"), act, formats={"b": "8N1"})) == 9
    assert len(in_memory(rig(format="8N1"), act, formats={"b": "8N2"})) == 9
    with pytest.raises(FleetError, match="'9E1' is no format"):
        fleet(rig(), formats={"b": "9E1"})


def test_a_fault_that_talks_begins_at_once_when_it_is_injected_on_a_quiet_line():
    async def act(served):
        client = Client(served)
        await asyncio.sleep(1)
        served.faults.inject("babble:p1@+250ms,every=100ms,bytes=4")
        await asyncio.sleep(1)
        babble = [len(data) for _, data in client.received]
        client.received.clear()
        served.faults.inject("traffic:b@+250ms,every=100ms")
        await asyncio.sleep(1)
        return babble, client.bytes

    babble, traffic = in_memory(rig(), act)
    assert babble == [4, 4, 4]
    assert traffic[:8] == framed(b"\xf7\x03\x00\x00\x00\x02")
    assert len(traffic) == 3 * (8 + 9)
    assert framed(traffic[8:15]) == traffic[8:17]


def test_an_intruder_repeats_the_last_question_and_its_answer_is_heard():
    async def act(served):
        client = Client(served)
        await client.ask(rtu(1))
        client.received.clear()
        served.faults.inject("intruder:b@+1s,every=400ms")
        await asyncio.sleep(2)
        return client.bytes

    heard = in_memory(rig(), act)
    assert heard.count(rtu(1)) == 3
    assert len(heard) == 3 * (8 + 9)


def test_worn_wires_flip_bits_of_questions_and_answers_at_the_asked_rate():
    async def act(served):
        client = Client(served)
        answers = [await client.ask(rtu(1)) for _ in range(400)]
        return answers, served.lines["b"].statistics

    answers, statistics = in_memory(rig(), act, faults=["bits:b,rate=0.2%"])
    silent = sum(answer == b"" for answer in answers)
    garbled = sum(answer != b"" and framed(answer[:-2]) != answer for answer in answers)
    assert statistics.answers == 400 - silent
    assert 400 * 8 * 8 * 0.002 * 0.6 < silent < 400 * 8 * 8 * 0.002 * 1.2
    assert 400 * 8 * 9 * 0.002 * 0.5 < garbled < 400 * 8 * 9 * 0.002 * 1.2


def test_a_device_on_modbus_tcp_can_be_cut_off_and_can_have_another_function():
    async def act(served):
        return await Client(served).ask(mbap(1, 7))

    words = rig(kind="modbus-tcp")
    assert in_memory(words, act, faults=["cut:p1"]) == in_memory(words, act, faults=["address:p1"]) == b""
    assert in_memory(words, act, faults=["function:p1"])[6:9] == b"\x01\x04\x04"
    assert in_memory(words, act, faults=["silence:p1@=0103"]) == b""
    assert len(in_memory(words, act, faults=["silence:p1@=0104"])) == 13
