import asyncio

import pytest

from gateway.mqtt.memory import MemoryLink
from gateway.mqtt.outbox import Message, Outbox


async def test_delivers_state_first_then_all_in_order_and_says_offline_at_the_end(will):
    delivered = []
    outbox = Outbox()
    for message in (Message(topic="t", payload=b"1"), Message(topic="a", payload=b"2", retain=True)):
        outbox.put(message)
    link = MemoryLink(outbox, delivered.append, client_id="pi1", will=will)
    task = asyncio.create_task(link.run())
    await asyncio.sleep(0)
    assert [message.topic for message in delivered] == ["a", "t"]
    assert link.statistics().connected
    outbox.put(Message(topic="t", payload=b"3"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [message.payload for message in delivered] == [b"2", b"1", b"3"]
    outbox.put(Message(topic="t", payload=b"4"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert delivered[3:] == [Message(topic="t", payload=b"4"), will]
    assert link.statistics().published == 5
    assert not link.statistics().connected


async def test_farewell_replaces_the_will_at_a_clean_stop(will):
    delivered = []
    farewell = Message(topic=will.topic, payload=b"stopped", retain=True)
    link = MemoryLink(Outbox(), delivered.append, client_id="pi1", will=will, farewell=lambda: farewell)
    task = asyncio.create_task(link.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert delivered == [farewell]
