import asyncio
import os
import termios
from pathlib import Path

import pytest
import serial

from drivers.precise_loop import precise_event_loop
from firmware_sim.ports.pty import PtyPort
from tests.firmware_sim.devices import bus, fleet, rig, rtu, until


def on_a_pty(words, act, **more):
    """Serve a rig on ptys in real time; run the blocking `act(link)` in a thread beside it."""

    async def main():
        async with fleet(words, **more).serve() as served:
            return await asyncio.to_thread(act, served.ports["b"])

    with asyncio.Runner(loop_factory=precise_event_loop) as runner:
        return runner.run(main())


def is_there(link):
    return os.path.lexists(link)


def device(link):
    return str(Path(link).resolve())


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def client(link, baud=19200, **more):
    return serial.Serial(link, baudrate=baud, timeout=2, **more)


def ask(port, request=None, size=9):
    port.write(rtu(1) if request is None else request)
    return port.read(size)


def test_pyserial_gets_answers_and_can_reopen():
    def act(link):
        with client(link) as port:
            first = ask(port), ask(port)
        with client(link) as port:
            return *first, ask(port)

    answers = on_a_pty(rig(), act)
    assert [(len(answer), answer[0]) for answer in answers] == [(9, 1)] * 3
    assert len(set(answers)) == 3


def test_a_fresh_pty_is_raw_and_has_the_lines_speed():
    def act(link):
        fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
        try:
            return termios.tcgetattr(fd)
        finally:
            os.close(fd)

    iflag, oflag, cflag, lflag, _, _, _ = on_a_pty(rig(), act)
    assert lflag & (termios.ECHO | termios.ICANON | termios.ISIG) == 0
    assert iflag & (termios.ICRNL | termios.IXON) == 0
    assert oflag & termios.OPOST == 0
    assert cflag & termios.CSIZE == termios.CS8


def test_bytes_pass_a_pty_that_nobody_has_made_raw_unchanged(tmp_path):
    every = bytes(range(256))

    async def main():
        taken = bytearray()
        port = PtyPort(tmp_path / "b", bus(), lambda send: taken.extend, lambda *_: None)
        await port.open()
        fd = os.open(port.address, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, every)
        await until(lambda: len(taken) == len(every))
        port._send(every)
        back = os.read(fd, 4096)
        os.close(fd)
        port.close()
        return bytes(taken), back

    assert asyncio.run(main()) == (every, every)


def test_a_client_with_another_speed_gets_no_answer_until_it_corrects_it():
    def act(link):
        with client(link, baud=9600) as port:
            port.timeout = 0.1
            wrong = ask(port)
            port.baudrate = 19200
            port.timeout = 2
            return wrong, ask(port)

    wrong, right = on_a_pty(rig(), act)
    assert wrong == b""
    assert len(right) == 9


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"baudrate": 9600}, [(9600, "8N1")]),
        ({"baudrate": 250_000, "stopbits": 2}, [(250_000, "8N2")]),
        ({"baudrate": 19200, "stopbits": 2}, [(19200, "8N2")]),
        ({"baudrate": 19200}, []),
    ],
)
def test_the_clients_settings_are_told_to_the_line(tmp_path, settings, expected):
    async def main():
        told, taken = [], []
        port = PtyPort(tmp_path / "b", bus(), lambda send: taken.append, lambda *words: told.append(words))
        await port.open()
        with serial.Serial(port.address, **settings) as other:
            for _ in range(2):
                other.write(b"x")
                await until(lambda: taken)
                taken.clear()
        port.close()
        return told

    assert asyncio.run(main()) == expected


def test_unplugged_and_back_under_the_same_link_as_another_device():
    async def main():
        async with fleet(rig()).serve() as served:
            link = served.ports["b"]
            before = device(link)
            port = await asyncio.to_thread(client, link)
            fault = served.faults.inject("unplug:b")
            await until(lambda: not is_there(link))
            with pytest.raises((serial.SerialException, OSError, termios.error)):
                await asyncio.to_thread(ask, port)
            port.close()
            served.faults.clear(fault)
            await until(lambda: is_there(link))
            with await asyncio.to_thread(client, link) as again:
                return before, device(link), await asyncio.to_thread(ask, again)

    before, after, answer = asyncio.run(main())
    assert before != after
    assert len(answer) == 9


def test_the_fleet_leaves_nothing_behind():
    paths = []

    def act(link):
        paths.extend([link, str(Path(link).parent)])

    fds = descriptors()
    on_a_pty(rig(), act)
    assert len(paths) == 2
    assert not any(is_there(path) for path in paths)
    assert descriptors() == fds


def test_what_nobody_reads_is_lost_and_counted_when_the_buffer_is_full(tmp_path):
    async def main():
        port = PtyPort(tmp_path / "b", bus(), lambda send: lambda data: None, lambda *_: None)
        await port.open()
        for _ in range(100):
            port._send(bytes(4096))
        port.close()
        port._send(b"into the void")
        return port.overruns

    assert 0 < asyncio.run(main()) < 100 * 4096
