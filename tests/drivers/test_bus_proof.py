"""Promise 1 on the line: after any mishap no wrong value is reported as good, nor an old answer as a new one."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.bus import Bus
from drivers.exchange import Outcome, Request
from drivers.ledger import Ledger, Verdict
from drivers.rig import Bus as BusWords
from drivers.transport.memory import MemoryTransport
from drivers.wire.modbus import read_registers
from firmware_sim.clock import run_virtual
from tests.drivers.in_order_device import InOrderDevice, Mishap

KINDS = ["none", "none", "request lost", "answer lost", "late", "corrupt", "truncate", "duplicate"]
KINDS += ["foreign", "echo", "noise"]
WORDS = BusWords.model_validate({"kind": "serial", "port": "memory", "baud": 19200})
UNITS = (1, 2)
QUESTIONS = {
    unit: [read_registers(unit, 3, 0x100, 4), read_registers(unit, 3, 0x200, 4), read_registers(unit, 3, 0x300, 2)]
    for unit in UNITS
}
FENCES = {unit: [read_registers(unit, 3, 0x100, 1), read_registers(unit, 3, 0x100, 3)] for unit in UNITS}


async def converse(device: InOrderDevice, plan: list[tuple[int, int, float]]) -> tuple[int, int]:
    """Ask as planned (unit, question, pause after it); return how many answers came and how many were not their own."""
    bus = Bus("test", WORDS, make_transport=lambda _: MemoryTransport(device.connect))
    good = wrong = 0
    async with bus.opened():
        ask = {unit: bus.unit(unit, FENCES[unit]) for unit in UNITS}
        for unit, question, pause_s in plan:
            attempt = await ask[unit](QUESTIONS[unit][question])
            if attempt.outcome is Outcome.REPLY:
                good += 1
                number, frame = device.asked[-1]
                wrong += frame != attempt.request.frame or device.delivered[-1] != number
            await asyncio.sleep(pause_s)
        device.mishaps.clear()
        await asyncio.sleep(100.0)  # longer than all answers together can be late
        for unit in UNITS:
            for question in QUESTIONS[unit]:
                await ask[unit](question)
                attempt = await ask[unit](question)
                assert attempt.outcome is Outcome.REPLY, "the line is healthy again, so the bus must be too"
        statistics = bus.statistics()
    attempts = sum(sum(unit.outcomes.values()) for unit in statistics.units.values())
    assert attempts == device.questions  # each attempt has ended in exactly one outcome
    return good, wrong


def generated(seed: int) -> tuple[InOrderDevice, list[tuple[int, int, float]]]:
    """Make one fault sequence and one plan of questions from a seed."""
    draw = random.Random(seed)
    delays = (0.0, 0.002, 0.01, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0)
    count = draw.randint(1, 12)
    mishaps = [
        Mishap(kind=draw.choice(KINDS), delay_s=draw.choice(delays) * draw.random() * 2, place=draw.randrange(64))
        for _ in range(count)
    ]
    device = InOrderDevice(
        mishaps=mishaps,
        static=draw.random() < 0.3,
        split_s=draw.choice((0.0, 0.0, 0.001, 0.004)),
        latency_s=draw.choice((0.001, 0.003, 0.02)),
    )
    units = UNITS[: draw.randint(1, 2)]
    pauses = (0.0, 0.0, 0.01, 0.1, 0.5)
    plan = [(draw.choice(units), draw.randrange(3), draw.choice(pauses)) for _ in range(count + 2)]
    return device, plan


@pytest.mark.parametrize("block", range(10))
def test_no_wrong_value_is_ever_reported_as_good_after_any_of_ten_thousand_fault_sequences(block: int) -> None:
    answers = 0
    for seed in range(block * 1000, (block + 1) * 1000):
        device, plan = generated(seed)
        good, wrong = run_virtual(converse(device, plan))
        assert wrong == 0, f"seed {seed}: {device.asked} {device.delivered}"
        answers += good
    assert answers > 3000  # the bus must not keep its promise by silence


def test_the_same_sequences_expose_a_bus_that_trusts_every_intact_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def trusting(ledger: Ledger, frame: bytes, answers: Request) -> Verdict:
        newest = list(ledger.owed)[-1:]
        if newest and newest[0].measure(frame, 0) == len(frame):
            del ledger._owed[-1]
            return Verdict.PROVEN
        return Verdict.STRAY

    monkeypatch.setattr(Ledger, "heard", trusting)
    monkeypatch.setattr(Ledger, "settled", lambda ledger, request: True)
    assert sum(run_virtual(converse(*generated(seed)))[1] for seed in range(300)) > 10


@settings(max_examples=300, deadline=None)
@given(
    mishaps=st.lists(
        st.builds(
            Mishap,
            kind=st.sampled_from(sorted(set(KINDS))),
            delay_s=st.floats(0, 4, allow_nan=False),
            place=st.integers(0, 63),
        ),
        max_size=8,
    ),
    static=st.booleans(),
    plan=st.lists(st.tuples(st.sampled_from(UNITS), st.integers(0, 2), st.floats(0, 1)), min_size=1, max_size=10),
)
def test_no_wrong_value_in_sequences_that_hypothesis_seeks_out(
    mishaps: list[Mishap], static: bool, plan: list[tuple[int, int, float]]
) -> None:
    _, wrong = run_virtual(converse(InOrderDevice(mishaps=list(mishaps), static=static), plan))
    assert wrong == 0
