"""The keeper on disks that fail: nothing stops, it is told, and all is made up for when the disk is back."""

import asyncio
import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.mqtt.journal import Journal, JournalError
from gateway.mqtt.row import Row
from tests.gateway.mqtt.test_keeper import BATCH, EVENT, LATE, Rig, on


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """Let every write of this process fail that makes a file larger.

    SQLite gets an error there that it treats as any other but a full disk: as on one that became read-only, or is gone.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("spares", [False, True])
def test_a_disk_that_takes_nothing_stops_nothing_is_told_and_is_made_up_for(tmp_path: Path, *, spares: bool) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        rig.say()
        await asyncio.sleep(2)
        with no_file_grows_beyond((tmp_path / "journal.sqlite-wal").stat().st_size):
            for _ in range(20):
                rig.say(size=3000)
                await asyncio.sleep(0.1)
            await asyncio.sleep(2)
            assert rig.broker.numbers(BATCH) == list(range(1, 22)), "delivered all the same"
            rig.broker.cut()
            for _ in range(20):
                rig.say(size=3000)
            await asyncio.sleep(7)
            assert rig.keeper.problem.endswith("disk I/O error")
            assert rig.outbox.statistics().journal_problem == rig.keeper.problem
            rig.broker.connect()
            await asyncio.sleep(3)
            assert rig.broker.numbers(LATE) == list(range(22, 42)), "from memory"
        await asyncio.sleep(15)
        assert rig.keeper.problem == "", "without another message"
        assert rig.rows() == ([] if spares else list(range(1, 42)))
        assert rig.outbox.statistics().losses == {}

    on(tmp_path, body, spares=spares)


def test_numbers_given_out_while_the_disk_was_full_are_not_given_out_again(tmp_path: Path) -> None:
    async def before(rig: Rig) -> None:
        rig.say()
        rig.broker.connect()
        await asyncio.sleep(2)
        with no_file_grows_beyond((tmp_path / "journal.sqlite-wal").stat().st_size):
            rig.say(size=3000)
            await asyncio.sleep(3)
            assert rig.broker.numbers(BATCH) == [1, 2]
            await rig.kill()

    async def after(rig: Rig) -> None:
        first, last = rig.journal.skipped or (0, 0)
        assert first == 2 <= last
        assert rig.say() == last + 1

    on(tmp_path, before, ends=True)
    on(tmp_path, after)


def test_a_file_that_somebody_removed_is_made_anew(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        for _ in range(3):
            rig.say()
            await asyncio.sleep(2)
        (tmp_path / "journal.sqlite").unlink()
        rig.say()
        await asyncio.sleep(5)
        assert "No such file" in rig.keeper.problem
        await asyncio.sleep(10)
        assert (rig.keeper.problem, rig.rows()) == ("", [4])
        rig.broker.connect()
        await asyncio.sleep(5)
        assert rig.broker.numbers(LATE) == [4]
        assert rig.outbox.statistics().losses == {"journal_damaged": 3}, "they were on that file alone"

    on(tmp_path, body)


def test_a_page_that_is_damaged_sets_the_file_aside_and_what_nobody_has_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"

    async def body(rig: Rig) -> None:
        for _ in range(20):
            for _ in range(5):
                rig.say(size=5000)
            await asyncio.sleep(1)
        rig.journal._opened().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = path.stat().st_size // 4096
        with path.open("r+b") as file:
            for page in range(pages // 3, 2 * pages // 3):
                file.seek(page * 4096)
                file.write(b"\xff" * 4096)
        rig.broker.connect()
        await asyncio.sleep(30)
        rig.say()
        await asyncio.sleep(5)
        assert (tmp_path / "journal.sqlite.damaged-1").exists()
        assert rig.keeper.problem == ""
        assert rig.rows() == [101]
        lost = 101 - len(set(rig.broker.numbers(LATE)) | set(rig.broker.numbers(BATCH)))
        assert lost > 0
        assert rig.outbox.statistics().losses == {"journal_damaged": lost + 1}, "the file counts as one"

    on(tmp_path, body)


def test_a_folder_that_cannot_be_written_at_the_start_is_told_and_the_journal_used_once_it_can(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("a file where the folder is to be")
    folder = tmp_path / "in the way"

    async def body(rig: Rig) -> None:
        first = rig.say()
        rig.broker.connect()
        await asyncio.sleep(5)
        assert rig.broker.numbers(BATCH) == [first]
        assert rig.keeper.problem.endswith("File exists")
        rig.broker.cut()
        rig.say()
        rig.say(EVENT)
        (tmp_path / "in the way").unlink()
        await asyncio.sleep(15)
        assert rig.keeper.problem == ""
        assert rig.rows() == [first, first + 1, first + 2]
        rig.broker.connect()
        await asyncio.sleep(5)
        assert rig.broker.numbers(LATE) == [first + 1]
        assert rig.skipped == [(1, first - 1)]
        assert rig.outbox.statistics().losses == {}

    async def later(rig: Rig) -> None:
        assert rig.say() == rig.journal.last_n + 1

    on(folder, body)
    on(folder, later)


def test_a_disk_that_is_read_only_at_the_start_gives_no_number_twice_and_what_it_has_comes_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def before(rig: Rig) -> None:
        for _ in range(3):
            rig.say()
        rig.say(EVENT)
        await asyncio.sleep(2)
        await rig.kill()

    real_open, real_connect = os.open, sqlite3.connect
    writable = False

    def open_(path: Any, flags: int, *args: Any, **words: Any) -> int:
        if not writable and flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real_open(path, flags, *args, **words)

    def connect(path: Any, **words: Any) -> sqlite3.Connection:
        if not writable:
            raise sqlite3.OperationalError("unable to open database file")
        return real_connect(path, **words)

    async def after(rig: Rig) -> None:
        nonlocal writable
        rig.broker.connect()
        assert rig.say() == 1005, "what was reserved can be read"
        await asyncio.sleep(5)
        assert rig.broker.numbers(BATCH) == [1005]
        assert rig.keeper.problem
        writable = True
        await asyncio.sleep(15)
        assert rig.keeper.problem == ""
        assert rig.rows() == [1, 2, 3, 4, 1005]
        assert rig.broker.numbers(EVENT) == [4]
        assert rig.broker.numbers(LATE) == [1, 2, 3]
        assert rig.skipped == [(5, 1004)]

    on(tmp_path, before, ends=True)
    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(sqlite3, "connect", connect)
    on(tmp_path, after)


def test_a_clock_far_behind_does_not_mix_numbers_up(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite", max_bytes=2**26, max_age_ms=10**12)
    journal.open()
    journal.write([Row(n=10**15, t_ms=0, topic="t", payload=b"1")], [], now_ms=0)
    journal.close()
    lock = tmp_path / "journal.sqlite.lock"
    lock.unlink()
    lock.mkdir()

    async def body(rig: Rig) -> None:
        rig.say()
        lock.rmdir()
        await asyncio.sleep(15)
        assert "move it away" in rig.keeper.problem
        (tmp_path / "journal.sqlite").rename(tmp_path / "away.sqlite")
        await asyncio.sleep(15)
        assert rig.keeper.problem == ""
        assert len(rig.rows()) == 1

    on(tmp_path, body)


ON_A_DISK_OF_ITS_OWN = """
import asyncio, os, subprocess, sys
from pathlib import Path
from gateway.mqtt.journal import JournalError
from tests.gateway.mqtt.test_keeper import BATCH, EVENT, LATE, Rig, on

disk = Path(sys.argv[1]) / "disk"
device = subprocess.check_output(["findmnt", "-no", "SOURCE", disk], text=True).strip().rpartition("/")[2]

async def body(rig):
    rig.broker.connect()
    rig.say()
    await asyncio.sleep(2)

    filler = os.open(disk / "filler", os.O_CREAT | os.O_WRONLY)
    for size in (2**20, 2**12, 2**10):
        try:
            while True:
                os.write(filler, bytes(size))
        except OSError:
            pass
    for _ in range(60):
        rig.say(size=3000)
        await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    assert rig.keeper.problem.endswith("database or disk is full"), rig.keeper.problem
    assert rig.broker.numbers(BATCH) == list(range(1, 62))
    os.ftruncate(filler, 0)
    os.close(filler)
    await asyncio.sleep(15)
    assert rig.keeper.problem == "", rig.keeper.problem
    assert rig.rows() == list(range(1, 62))

    Path("/sys/fs/ext4", device, "trigger_fs_error").write_text("x")  # errors=remount-ro
    rig.say()
    await asyncio.sleep(2)
    assert rig.keeper.problem.endswith(("disk I/O error", "Read-only file system")), rig.keeper.problem
    rig.broker.cut()
    rig.say()
    await asyncio.sleep(12)
    rig.broker.connect()
    await asyncio.sleep(2)
    assert rig.broker.numbers(BATCH)[-1] == 62
    assert rig.broker.numbers(LATE) == [63]

    subprocess.run(["mount", "-o", "loop", sys.argv[1] + "/other.img", disk], check=True)  # a new disk in its place
    await asyncio.sleep(15)
    assert rig.keeper.problem == "", rig.keeper.problem
    assert rig.rows() == [62, 63]
    assert rig.say() == 64
    await asyncio.sleep(2)
    assert rig.rows() == [62, 63, 64]
    assert rig.outbox.statistics().losses == {}

on(disk, body)
print("done")
"""


def test_a_file_system_that_is_full_turns_read_only_and_is_replaced(tmp_path: Path) -> None:
    for name in ("disk.img", "other.img"):
        (tmp_path / name).write_bytes(b"")
        os.truncate(tmp_path / name, 8 * 2**20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", tmp_path / name], check=True, capture_output=True)
    (tmp_path / "disk").mkdir()
    mount = 'mount -o loop,errors=remount-ro "$1/disk.img" "$1/disk"'
    in_its_own_view = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*in_its_own_view, mount, "sh", tmp_path], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system of his own (needs root and loop devices)")
    ran = subprocess.run(
        [*in_its_own_view, f'{mount} && exec "$2" -c "$3" "$1"', "sh", tmp_path, sys.executable, ON_A_DISK_OF_ITS_OWN],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "done\n", ran.stderr


def test_what_cannot_be_read_for_a_while_is_not_lost_and_what_is_in_memory_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(rig: Rig) -> None:
        def fails(*_: object, **__: object) -> None:
            raise JournalError("not now")

        for _ in range(10):
            rig.say()
        rig.say(EVENT)
        await asyncio.sleep(2)  # on disk alone
        with monkeypatch.context() as patched:
            patched.setattr(rig.journal, "read", fails)
            patched.setattr(rig.journal, "write", fails)
            for _ in range(10):
                rig.say()
            await asyncio.sleep(2)  # in memory alone
            rig.broker.connect()
            await asyncio.sleep(30)
            assert rig.broker.numbers(LATE) == list(range(12, 22)), "from memory"
            assert rig.outbox.statistics().losses == {}
        await asyncio.sleep(30)
        assert sorted(rig.broker.numbers(LATE)) == [*range(1, 11), *range(12, 22)]
        assert rig.broker.numbers(EVENT) == [11]
        assert rig.outbox.statistics().losses == {}
        assert rig.outbox.statistics().messages == 0

    on(tmp_path, body)
