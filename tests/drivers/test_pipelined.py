"""Modbus TCP: whatever order, loss or repetition, an answer is only ever its own question's."""

import asyncio
import random
import re
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.exchange import Ask, Outcome
from drivers.pipelined import Pipelined
from drivers.rig import Bus as BusWords
from drivers.wire.ascii_line import LineRequest
from firmware_sim.clock import run_virtual
from tests.drivers.scripted_line import TCP, Answers, ScriptedLine, outcomes, question

FATES = ("answered", "answered", "lost", "late", "very late", "twice", "refused", "other unit", "short")
UNITS = (1, 2)


def mbap(transaction: int, unit: int, pdu: bytes) -> bytes:
    return transaction.to_bytes(2, "big") + b"\x00\x00" + (len(pdu) + 1).to_bytes(2, "big") + bytes((unit,)) + pdu


def taken_apart(frame: bytes) -> tuple[int, int, int]:
    """Return transaction, unit and count of a read."""
    return int.from_bytes(frame[:2], "big"), frame[6], int.from_bytes(frame[10:12], "big")


def registers(number: int, count: int) -> bytes:
    """Return the data of the answer to the question of that number: no two questions have the same."""
    return b"".join(((number * 131 + index) & 0xFFFF).to_bytes(2, "big") for index in range(count))


@dataclass
class Server:
    """Answers in any order; the fate of each question is drawn from a seed."""

    seed: int

    def respond(self, number: int, frame: bytes) -> Answers:
        draw = random.Random(self.seed * 1000 + number)
        transaction, unit, count = taken_apart(frame)
        data = registers(number, count)
        fate, delay_s = draw.choice(FATES), draw.random() * 0.05
        good = mbap(transaction, unit, bytes((3, 2 * count)) + data)
        if fate == "lost":
            return
        if fate == "late":
            delay_s += 0.3
        if fate == "very late":
            delay_s += 30 * draw.random()
        if fate == "refused":
            good = mbap(transaction, unit, b"\x83\x02")
        if fate == "other unit":
            good = mbap(transaction, unit + 1, good[7:])
        if fate == "short":
            good = mbap(transaction, unit, bytes((3, 2)) + data[:2])
        yield delay_s, good
        if fate == "twice":
            yield delay_s + 2 * draw.random(), good


async def converse(server: Server, *, window: int, cut: int = 0) -> tuple[int, int]:
    """Ask with as many askers as the window and more; return how many answers came and how many were not their own."""
    line = ScriptedLine(server.respond, cut=cut)
    good = wrong = asked = 0
    async with line.opened(TCP.model_copy(update={"window": window})) as bus:

        async def asker(place: int) -> None:
            nonlocal good, wrong, asked
            unit, count = UNITS[place % 2], 2 + place % 3
            ask = bus.unit(unit, ())
            for _ in range(6):
                attempt = await ask(question(unit, count=count))
                asked += 1
                if attempt.outcome is Outcome.REPLY:
                    good += 1
                    wrong += number_of(line, attempt.frame[3:], attempt.sent_s) is None
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as tasks:
            for place in range(window + 2):
                tasks.create_task(asker(place))
        ended = sum(sum(unit.outcomes.values()) for unit in bus.statistics().units.values())
        assert ended == asked == len(line.asked)  # one outcome for each
        assert bus.connects == 1
    return good, wrong


def number_of(line: ScriptedLine, data: bytes, sent_s: float) -> int | None:
    """Return the number of the question that was sent at that moment and has that answer."""
    for number, (at_s, frame) in enumerate(line.asked, 1):
        if abs(at_s - sent_s) < 1e-9 and registers(number, taken_apart(frame)[2]) == data:
            return number
    return None


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 10**6), window=st.integers(1, 6), cut=st.integers(0, 12))
def test_an_answer_is_its_own_questions_in_any_order_with_loss_and_repetition(seed: int, window: int, cut: int) -> None:
    good, wrong = run_virtual(converse(Server(seed), window=window, cut=cut), limit_s=1000)
    assert wrong == 0
    assert good <= 6 * (window + 2)


def test_nearly_all_answers_in_time_are_taken() -> None:
    """The promise is not kept by taking nothing; a third of the fates is an answer in time."""
    taken = sum(run_virtual(converse(Server(seed), window=4))[0] for seed in range(20))
    assert taken > 0.9 / 3 * 20 * 6 * 6


def test_the_same_conversations_convict_a_bus_with_one_transaction_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.pipelined.Pipelined._next_transaction", lambda self: 7)
    assert sum(run_virtual(converse(Server(seed), window=1))[1] for seed in range(20)) > 0


def good(number: int, frame: bytes) -> Answers:
    transaction, unit, count = taken_apart(frame)
    yield 0.005, mbap(transaction, unit, bytes((3, 2 * count)) + registers(number, count))


def never(number: int, frame: bytes) -> Answers:
    return ()


def test_late_and_repeated_answers_are_counted_for_their_unit() -> None:
    async def main() -> None:
        def respond(number: int, frame: bytes) -> Answers:
            ((_, answer),) = good(number, frame)
            return [(0.5, answer)] if number == 1 else [(0.005, answer), (0.006, answer)]

        line = ScriptedLine(respond)
        async with line.opened(TCP) as bus:
            ask = bus.unit(1, ())
            assert (await ask(question())).outcome is Outcome.TIMEOUT
            await asyncio.sleep(3)
            assert (await ask(question())).outcome is Outcome.REPLY
            await asyncio.sleep(1)
            assert bus.statistics().units[1].unused == {"late": 1, "repeat": 1}
            line.say(mbap(999, 77, b"\x03\x02\x00\x00"))
            assert bus.statistics().foreign == 1

    run_virtual(main(), limit_s=60)


def test_a_silent_unit_does_not_hold_up_the_others_in_the_window() -> None:
    async def main() -> None:
        line = ScriptedLine(lambda number, frame: never(number, frame) if frame[6] == 2 else good(number, frame))
        async with line.opened(TCP) as bus:
            alive, dead = bus.unit(1, ()), bus.unit(2, ())
            waiting = asyncio.ensure_future(dead(question(2)))
            for _ in range(10):
                assert (await alive(question())).outcome is Outcome.REPLY
            assert not waiting.done()
            assert (await waiting).outcome is Outcome.TIMEOUT

    run_virtual(main(), limit_s=60)


def test_each_question_is_given_up_after_its_own_patience_in_whatever_order_they_were_put() -> None:
    async def main() -> None:
        def respond(number: int, frame: bytes) -> Answers:
            return good(number, frame) if number == 1 else never(number, frame)

        line = ScriptedLine(respond)
        async with line.opened(TCP.model_copy(update={"window": 4})) as bus:
            quick, slow = bus.unit(1, ()), bus.unit(2, ())
            await quick(question())  # answered in 5 ms: from now on it is given up long before a unit not heard yet
            begin_s = asyncio.get_running_loop().time()
            ended: dict[str, float] = {}

            async def given_up(name: str, ask: Ask, unit: int) -> None:
                assert (await ask(question(unit))).outcome is Outcome.TIMEOUT
                ended[name] = asyncio.get_running_loop().time() - begin_s

            await asyncio.gather(
                given_up("slow", slow, 2), given_up("quick", quick, 1), given_up("quick too", quick, 1)
            )
            assert ended["slow"] == pytest.approx(TCP.timeout)
            assert ended["quick"] == pytest.approx(ended["quick too"])
            assert ended["quick"] < ended["slow"] / 2

    run_virtual(main(), limit_s=60)


def test_no_more_questions_are_in_flight_than_the_window_allows() -> None:
    async def main() -> None:
        line = ScriptedLine(never)
        async with line.opened(TCP.model_copy(update={"window": 3})) as bus:
            asking = [asyncio.ensure_future(bus.unit(unit, ())(question(unit))) for unit in range(1, 8)]
            await asyncio.sleep(0.1)
            assert len(line.asked) == 3
            await asyncio.gather(*asking)
            assert len(line.asked) == 7

    run_virtual(main(), limit_s=60)


def test_what_follows_nonsense_is_not_believed_and_the_connection_is_made_anew() -> None:
    async def main() -> None:
        line = ScriptedLine(never)
        async with line.opened(TCP) as bus:
            asking = asyncio.ensure_future(bus.unit(1, ())(question()))
            await asyncio.sleep(0.01)
            forged = mbap(int.from_bytes(line.asked[0][1][:2], "big"), 1, b"\x03\x04\xde\xad\xbe\xef")
            line.say(b"\x00\x01\xff\xff\x00\x06\x01" + forged)
            line.say(forged)
            attempt = await asking
            assert attempt.outcome is Outcome.BUS_DOWN
            assert "no Modbus TCP header" in bus.problem
            line.respond = good
            await asyncio.sleep(1)
            assert (await bus.unit(1, ())(question())).outcome is Outcome.REPLY
            assert (bus.connects, bus.statistics().foreign) == (2, 1)

    run_virtual(main(), limit_s=60)


def test_a_peer_that_sends_what_nobody_asked_for_is_left_and_one_that_says_all_twice_is_not() -> None:
    def twice(number: int, frame: bytes) -> Answers:
        transaction, unit, count = taken_apart(frame)
        for _ in range(2):
            yield 0.001, mbap(transaction, unit, bytes((3, 2 * count)) + registers(number, count))

    async def main() -> None:
        line = ScriptedLine(twice)
        async with line.opened(TCP) as bus:
            ask = bus.unit(1, ())
            for _ in range(1500):
                assert (await ask(question())).outcome is Outcome.REPLY
            assert bus.connects == 1
            line.say(mbap(0x1234, 99, b"\x03\x02\0\0") * 990)
            assert bus.up
            line.say(mbap(0x1234, 99, b"\x03\x02\0\0") * 20)
            assert not bus.up
            assert "frames that nobody asked for" in bus.problem
            await asyncio.sleep(1)
            assert (await ask(question())).outcome is Outcome.REPLY
            assert bus.connects == 2

    run_virtual(main(), limit_s=60)


def test_an_answer_of_the_connection_before_is_nobodys_on_the_next() -> None:
    async def main() -> None:
        line = ScriptedLine(never)
        async with line.opened(TCP) as bus:
            ask = bus.unit(1, ())
            asking = asyncio.ensure_future(ask(question()))
            await asyncio.sleep(0.01)
            old = line.asked[0][1]
            line.unplug()
            assert (await asking).outcome is Outcome.BUS_DOWN
            await asyncio.sleep(1)
            line.say(mbap(taken_apart(old)[0], 1, b"\x03\x04\xde\xad\xbe\xef"))
            line.respond = good
            assert (await ask(question())).frame[3:] == registers(2, 2)

    run_virtual(main(), limit_s=60)


def test_ids_of_unanswered_questions_are_not_used_again_and_take_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A peer that accepts and never answers: after many questions the connection is made anew, which frees all ids."""
    monkeypatch.setattr("drivers.pipelined._GIVEN_UP_MOST", 50)

    async def main() -> None:
        line = ScriptedLine(never)
        async with line.opened(TCP) as bus:
            ask = bus.unit(1, ())
            used: list[bytes] = []
            while bus.connects == 1:
                await ask(question())
                if bus.up:
                    used.append(line.asked[-1][1][:2])
                await asyncio.sleep(0.01)
            assert len(used) == len(set(used)) == 50
            assert outcomes(bus)["timeout"] == 51

    run_virtual(main(), limit_s=600)


def test_a_question_in_text_is_its_drivers_mistake() -> None:
    async def main() -> None:
        line = ScriptedLine(good)
        text = LineRequest(unit=1, frame=b"p\n", head=b"p", answer=re.compile(rb"p\n"), answer_size=2)
        async with line.opened(TCP) as bus:
            with pytest.raises(TypeError, match="LineRequest cannot be asked over Modbus TCP"):
                await bus.unit(1, ())(text)
            assert (await bus.unit(1, ())(question())).outcome is Outcome.REPLY

    run_virtual(main(), limit_s=60)


@pytest.mark.parametrize("window", [1, 4])
def test_cancelled_askers_leave_ids_that_are_known_as_given_up(window: int) -> None:
    async def main() -> None:
        line = ScriptedLine(good)
        async with line.opened(BusWords.model_validate({"kind": "modbus-tcp", "port": "m:1", "window": window})) as bus:
            asking = asyncio.ensure_future(bus.unit(1, ())(question()))
            await asyncio.sleep(0.001)
            asking.cancel()
            await asyncio.wait([asking])
            await asyncio.sleep(1)
            assert bus.statistics().units[1].unused == {"late": 1}
            assert outcomes(bus) == {"cancelled": 1}

    run_virtual(main(), limit_s=60)


@given(
    st.lists(
        st.one_of(st.binary(max_size=300), st.builds(mbap, st.integers(0, 9), st.just(1), st.binary(max_size=252)))
    )
)
def test_whatever_comes_in_takes_bounded_memory(pieces: list[bytes]) -> None:
    async def main() -> None:
        def reopen(why: str) -> None:
            pipelined.lost(why)

        pipelined = Pipelined(asyncio.get_running_loop(), lambda frame: None, list, reopen)
        for piece in pieces:
            pipelined.received(piece)
            assert len(pipelined._buffer) < 260

    run_virtual(main(), limit_s=1.0)
