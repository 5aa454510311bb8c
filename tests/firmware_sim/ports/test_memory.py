import pytest

from firmware_sim.ports.memory import MemoryPort


def echoing(send):
    return lambda data: send(data.upper())


async def test_bytes_pass_both_ways_at_once():
    port = MemoryPort("aft", echoing)
    await port.open()
    received = []
    write = port.connect(received.append, lambda: None)
    write(b"abc")
    assert received == [b"ABC"]
    assert port.address == "memory:aft"


async def test_before_opening_and_after_closing_nobody_connects():
    port = MemoryPort("aft", echoing)
    with pytest.raises(ConnectionError, match="memory:aft is unplugged"):
        port.connect(print, print)
    await port.open()
    port.close()
    with pytest.raises(ConnectionError):
        port.connect(print, print)


async def test_closing_tells_the_client_once_and_cuts_it_off_for_good():
    kept = []
    port = MemoryPort("aft", lambda send: kept.append(send) or kept.append)
    await port.open()
    received, losses = [], []
    write = port.connect(received.append, lambda: losses.append(True))
    port.close()
    port.close()
    await port.open()
    kept[0](b"late")
    with pytest.raises(ConnectionError):
        write(b"x")
    assert (losses, received, kept[1:]) == ([True], [], [])


async def test_on_a_line_a_new_client_takes_the_place_of_the_former():
    port = MemoryPort("aft", echoing)
    await port.open()
    first, second = [], []
    write_first = port.connect(first.append, lambda: first.append("lost"))
    write_second = port.connect(second.append, lambda: second.append("lost"))
    write_second(b"b")
    with pytest.raises(ConnectionError):
        write_first(b"a")
    port.close()
    assert (first, second) == ([], [b"B", "lost"])


async def test_clients_can_share_a_bus_that_allows_it():
    port = MemoryPort("net", echoing, several=True)
    await port.open()
    first, second = [], []
    write_first, write_second = port.connect(first.append, print), port.connect(second.append, print)
    write_first(b"a")
    write_second(b"b")
    assert (first, second) == ([b"A"], [b"B"])
