"""One coroutine as a process: its result, its quiet end, and the emulator beside it."""

import asyncio
import logging
import os
import signal

import pytest

from gateway.process import EmulatorError, emulator, log_to_terminal, run
from tests.commands import BENCH, of_folder


def test_the_result_comes_back():
    async def work():
        return 7

    assert run(work()) == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_quietly_and_a_second_one_does_not_cut_the_end_short(number):
    closed = []

    async def work():
        os.kill(os.getpid(), number)
        try:
            await asyncio.sleep(30)
        finally:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.01)
            closed.append(True)

    assert run(work()) is None
    assert closed == [True]


def test_nohup_is_respected():
    async def work():
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.01)
        return "went on"

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(work()) == "went on"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_reader_of_the_output_that_has_gone_is_one_error_also_out_of_a_task_group():
    async def work():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(30))
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(work())


def test_other_errors_of_a_task_group_stay_what_they_are():
    async def work():
        async with asyncio.TaskGroup():
            raise RuntimeError("a bug")

    with pytest.raises(ExceptionGroup):
        run(work())


async def test_the_emulator_serves_the_rig_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    async with emulator(BENCH, "--seed", "3") as ports:
        assert list(ports) == ["rs485"]
        assert ports["rs485"].startswith(str(tmp_path))
        assert len(of_folder(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []
    assert of_folder(tmp_path) == []


async def test_an_emulator_that_does_not_start_says_why_with_its_exit_code():
    with pytest.raises(EmulatorError, match="unknown kind 'lat'") as failed:
        async with emulator(BENCH, "--fault", "lat:cabin_p1"):
            pass
    assert failed.value.code == 2


async def test_an_emulator_that_ends_by_itself_is_told(caplog):
    async with emulator(BENCH, "--duration", "50 ms"):
        async with asyncio.timeout(10):
            while not caplog.records:  # noqa: ASYNC110 - another process ends when it likes
                await asyncio.sleep(0.01)
    assert "the emulator ended by itself, exit code 0: " in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_only_our_own_modules_talk():
    levels = {name: logging.getLogger(name).level for name in ("drivers", "gateway")}
    try:
        log_to_terminal(logging.DEBUG)
        assert logging.getLogger("gateway.mqtt.link").isEnabledFor(logging.DEBUG)
        assert not logging.getLogger("pymodbus").isEnabledFor(logging.INFO)
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
