import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.outbox import Loss, Message, Outbox


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def telemetry(number, size=10):
    return Message(topic="t", payload=b"%0*d" % (size, number), n=number)


def state(topic, payload=b"1"):
    return Message(topic=topic, payload=payload, retain=True)


def taken(outbox):
    entries = []
    while (entry := outbox.take()) is not None:
        entries.append(entry)
    return entries


def messages(entries):
    return [entry.message for entry in entries]


def test_numbers_grow_by_one():
    outbox = Outbox(clock=Clock())
    assert [outbox.number() for _ in range(3)] == [1, 2, 3]


@given(st.lists(st.integers(1, 60), max_size=60), st.integers(1, 20), st.integers(1, 400))
def test_the_queue_is_bounded_keeps_the_newest_in_order_and_counts_the_rest(sizes, max_messages, max_bytes):
    outbox = Outbox(max_messages=max_messages, max_bytes=max_bytes, clock=Clock())
    sent = [telemetry(number, size) for number, size in enumerate(sizes)]
    for message in sent:
        outbox.put(message)
    now = outbox.statistics()
    assert now.messages <= max_messages
    assert now.size <= max_bytes
    kept = messages(taken(outbox))
    assert kept == sent[len(sent) - len(kept) :]
    assert now.losses.get("queue_full", 0) == len(sent) - len(kept)
    assert now.size == sum(len(each.topic) + len(each.payload) for each in kept)
    assert outbox.statistics().size == 0


def test_state_keeps_only_the_newest_of_each_topic_and_its_place():
    outbox = Outbox(clock=Clock())
    for message in (state("a", b"1"), state("b", b"1"), state("a", b"2")):
        outbox.put(message)
    assert messages(taken(outbox)) == [state("a", b"2"), state("b", b"1")]
    assert outbox.statistics().superseded == 1
    assert outbox.statistics().losses == {}


def test_state_and_telemetry_take_turns():
    outbox = Outbox(clock=Clock())
    for number in range(3):
        outbox.put(telemetry(number))
        outbox.put(state(f"s{number}"))
    outbox.put(telemetry(3))
    assert [entry.message.retain for entry in taken(outbox)] == [True, False, True, False, True, False, False]


def test_telemetry_gets_through_however_much_state_there_is():
    outbox = Outbox(clock=Clock())
    outbox.put(telemetry(0))
    for number in range(4):
        outbox.put(state("s", b"%d" % number))
        outbox.take()
    assert outbox.statistics().messages == 0


def test_renewed_state_comes_all_before_telemetry_the_asked_one_first():
    outbox = Outbox(clock=Clock())
    for message in (state("a"), telemetry(0), state("b"), state("status"), telemetry(1)):
        outbox.put(message)
    taken(outbox)
    outbox.put(telemetry(2))
    outbox.renew_state(first="status")
    assert [entry.message.topic for entry in taken(outbox)] == ["status", "a", "b", "t"]


@given(st.integers(0, 20), st.integers(0, 20))
def test_what_comes_back_goes_to_the_head_in_order(count, in_flight):
    outbox = Outbox(clock=Clock())
    sent = [telemetry(number) for number in range(count)]
    for message in sent:
        outbox.put(message)
    entries = [entry for _ in range(in_flight) if (entry := outbox.take()) is not None]
    outbox.give_back(entries)
    assert outbox.statistics().size == sum(11 for _ in sent)
    assert messages(taken(outbox)) == sent


def test_state_does_not_come_back_but_is_renewed():
    outbox = Outbox(clock=Clock())
    outbox.put(state("a"))
    outbox.give_back(taken(outbox))
    assert outbox.waits_since_s is None
    outbox.renew_state(first="none")
    assert messages(taken(outbox)) == [state("a")]


def test_what_comes_back_counts_towards_the_bounds():
    outbox = Outbox(max_messages=3, clock=Clock())
    for number in range(3):
        outbox.put(telemetry(number))
    entries = taken(outbox)
    for number in range(3, 5):
        outbox.put(telemetry(number))
    outbox.give_back(entries)
    assert [message.n for message in messages(taken(outbox))] == [2, 3, 4]
    assert outbox.statistics().losses == {"queue_full": 2}


def test_topics_are_bounded():
    outbox = Outbox(max_topics=2, clock=Clock())
    for topic in ("a", "b", "c", "a"):
        outbox.put(state(topic))
    assert [message.topic for message in messages(taken(outbox))] == ["a", "b"]
    assert outbox.statistics().losses == {"topics_full": 1}


def test_forgotten_state_is_not_renewed_unless_a_newer_one_came():
    outbox = Outbox(clock=Clock())
    old, other = state("a", b"1"), state("b")
    outbox.put(old)
    outbox.put(other)
    outbox.put(state("a", b"2"))
    outbox.forget(old)
    outbox.forget(other)
    outbox.renew_state(first="a")
    assert messages(taken(outbox)) == [state("a", b"2")]


def test_age_is_that_of_the_oldest_telemetry_also_after_it_came_back():
    clock = Clock()
    outbox = Outbox(clock=clock)
    outbox.put(telemetry(0))
    clock.now_s = 5.0
    outbox.put(telemetry(1))
    outbox.give_back([entry for entry in (outbox.take(),) if entry])
    clock.now_s = 7.0
    assert outbox.statistics().oldest_s == 7.0
    taken(outbox)
    assert outbox.statistics().oldest_s == 0.0


def test_losses_are_counted_by_cause():
    outbox = Outbox(clock=Clock())
    outbox.lose(Loss.REFUSED)
    outbox.lose(Loss.REFUSED)
    outbox.lose(Loss.TOO_LARGE)
    assert outbox.statistics().losses == {"refused": 2, "too_large": 1}


async def test_waiting_ends_with_a_message_and_with_a_wake_and_not_before():
    outbox = Outbox()
    for stir in (lambda: outbox.put(telemetry(0)), lambda: outbox.put(state("a")), outbox.wake):
        waiting = asyncio.ensure_future(outbox.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        stir()
        await waiting


def test_messages_cannot_be_changed():
    with pytest.raises(AttributeError):
        telemetry(0).topic = "other"
