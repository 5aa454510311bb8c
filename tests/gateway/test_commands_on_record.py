"""Desk, keeper and journal together: what is answered is on record, and commands do not fill a disk."""

import asyncio
import json
import sqlite3
from collections import Counter
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.rig_gateway import Permission
from firmware_sim.clock import run_virtual
from gateway.desk import Desk, seen_before
from gateway.mqtt import commands, schemas
from gateway.mqtt.finding_payloads import event
from gateway.mqtt.outbox import Message
from gateway.mqtt.topics import Topics
from tests.gateway.mqtt.test_keeper import WALL_MS, Rig

TOPICS = Topics(station="iss", gateway="pi1")
COMMANDS = 10_000
CAP = 2**20


class At:
    """A desk with a journal and a broker behind it, and what was obeyed."""

    def __init__(self, folder: Path, **words: Any) -> None:
        self.rig = Rig(folder, **words)
        self.obeyed: list[str] = []
        self.desk = Desk(
            self,
            self._record,
            permissions={"anna": Permission(allow=("*",)), "bob": Permission(allow=())},
            outbox=self.rig.outbox,
            topics=TOPICS,
            boot="3f9c",
            utc_ms=self.now_ms,
            seen=seen_before(self.rig.journal, TOPICS),
        )
        self._working = asyncio.create_task(self.desk.run())

    def _record(self, kind: str, what: bytes, t_ms: int, *, lasting: bool = True) -> int:
        n = self.rig.outbox.number()
        payload = event(kind, what, gateway="pi1", boot="3f9c", n=n, t_ms=t_ms)
        self.rig.outbox.put(Message(topic=TOPICS.event(kind), payload=payload, n=n, record=lasting))
        return n

    async def obey(self, command: commands.Command) -> dict[str, str]:
        self.obeyed.append(command.id)
        await asyncio.sleep(0.02)
        return {"hatch": "prk--zvezda", "state": "open"}

    @staticmethod
    def now_ms() -> int:
        return WALL_MS + round(asyncio.get_running_loop().time() * 1000)

    def hear(self, command_id: str, *, by: str = "anna", replay: bool = False, since_s: float = 0.0) -> None:
        envelope = {"id": command_id, "not_after": WALL_MS + round(since_s * 1000) + 3_000_000, "by": by}
        payload = (
            commands.build(commands.Replay, **envelope, first=1, last=2)
            if replay
            else commands.build(commands.Hatch, **envelope, hatch="prk--zvezda", state="open")
        )
        self.desk.take(TOPICS.command("replay" if replay else "hatch"), payload, False)

    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(message.payload) for _, message in self.rig.broker.got if "/rsp/" in message.topic]

    async def end(self, *, kill: bool = False) -> None:
        if kill:
            await self.rig.kill()
        self._working.cancel()
        await asyncio.wait([self._working])
        if not kill:
            await self.rig.stop()


def test_ten_thousand_commands_that_change_nothing_take_no_more_than_the_journal_may(tmp_path: Path) -> None:
    async def main() -> None:
        at = At(tmp_path, max_bytes=CAP, commit_s=60.0)
        at.rig.broker.connect()
        await asyncio.sleep(1.0)
        for number in range(COMMANDS):
            at.hear(f"c{number}", by="bob" if number % 2 else "anna", replay=number % 2 == 0)
            await asyncio.sleep(0.5)
        await asyncio.sleep(1.0)
        await at.rig.keeper.flush()
        codes = Counter(answer["code"] for answer in at.answers())
        assert set(codes) == {"ok", "not_allowed", "expired"}
        assert codes.total() == COMMANDS
        journal = at.rig.journal
        assert journal.bytes() <= CAP
        assert journal._opened().execute("SELECT name FROM topic").fetchall() == [(TOPICS.event("command"),)]
        assert at.rig.outbox.statistics().losses == {}, "what made room had been delivered"

        before, obeyed = journal.rows, len(at.obeyed)
        for number in range(100):
            at.hear(f"d{number}", since_s=COMMANDS / 2)
            await asyncio.sleep(0.5)
        await at.rig.keeper.flush()
        assert len(at.obeyed) == obeyed + 100
        assert journal.rows <= before + 100, "one for each, that stays"
        assert len(journal.newest(TOPICS.event("command"), limit=999, records=True)) == 100
        await at.end()

    run_virtual(main(), limit_s=1e5)


def after_a_restart(tmp_path: Path, script: Any, *, before: Any = None) -> list[dict[str, Any]]:
    """Obey command h1, change the journal by `before`, start again, run a script; return the answers since then."""

    async def main() -> list[dict[str, Any]]:
        at = At(tmp_path)
        at.rig.broker.connect()
        await asyncio.sleep(0.1)
        at.hear("h1")
        await asyncio.sleep(1.0)
        await at.end()
        if before is not None:
            with closing(sqlite3.connect(at.rig.journal.path)) as database, database:
                before(database)
        again = At(tmp_path)
        again.rig.broker.connect()
        await asyncio.sleep(0.1)
        script(again)
        await asyncio.sleep(1.0)
        await again.end()
        assert again.obeyed == []
        return again.answers()

    return run_virtual(main())


def test_after_a_restart_another_command_of_a_known_id_is_refused(tmp_path: Path) -> None:
    def script(at: At) -> None:
        at.hear("h1", replay=True)
        at.hear("h1")

    assert [answer["code"] for answer in after_a_restart(tmp_path, script)] == ["id_reused", "ok"]


def without_digest(database: sqlite3.Connection) -> None:
    ((n, payload),) = database.execute("SELECT n, payload FROM row").fetchall()
    record = json.loads(payload)
    del record["command"]["digest"], record["command"]["keys"]
    database.execute("UPDATE row SET payload = ? WHERE n = ?", (json.dumps(record).encode(), n))


def test_a_journal_of_before_answers_without_a_digest(tmp_path: Path) -> None:
    (answer,) = after_a_restart(tmp_path, lambda at: at.hear("h1"), before=without_digest)
    jsonschema.validate(answer, schemas.schema("response"))
    assert answer["code"] == "ok"


def odd_rows(database: sqlite3.Connection) -> None:
    (topic,) = database.execute("SELECT topic FROM row").fetchone()
    odd = (b"", b"{", b"[]", b'"x"', b"{}", b'{"command":7}', b'{"command":{"id":["x"],"status":"done"}}', b"\xff")
    rows = [(1000 + at, 1, 1, topic, payload) for at, payload in enumerate(odd)]
    database.executemany("INSERT INTO row VALUES (?, ?, ?, ?, ?)", rows)


def test_odd_rows_of_a_journal_keep_no_gateway_from_starting(tmp_path: Path) -> None:
    (answer,) = after_a_restart(tmp_path, lambda at: at.hear("h1"), before=odd_rows)
    assert answer["code"] == "ok"


def test_a_clock_that_was_years_ahead_lets_nothing_be_obeyed_again(tmp_path: Path) -> None:
    def old(database: sqlite3.Connection) -> None:
        database.execute("UPDATE row SET t = t - 100000000000")

    (answer,) = after_a_restart(tmp_path, lambda at: at.hear("h1"), before=old)
    assert answer["code"] == "ok"


moves = st.lists(
    st.sampled_from(["obey", "obey", "refuse", "replay", "again", "wait", "wait", "cut", "connect", "kill", "kill"]),
    min_size=10,
    max_size=60,
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=moves, seed=st.integers(0, 99), spares=st.booleans())
def test_what_is_answered_is_on_record_before_and_answered_alike_for_ever(
    moves: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory, *, spares: bool
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    draw = Random(seed)
    answered: dict[str, bytes] = {}
    obeyed: Counter[str] = Counter()
    numbers = count()

    def look(at: At) -> None:
        """Each answer that somebody has had says what the journal says, and always the same."""
        rows = at.rig.journal.read(1, 10**9, limit=10**6, records=True)
        records = {row.n: json.loads(row.payload)["command"] for row in rows}
        for _, message in at.rig.broker.got:
            if "/rsp/" not in message.topic:
                continue
            answer = json.loads(message.payload)
            if answer["status"] == "done" and answer["name"] != "replay":
                assert answered.setdefault(answer["id"], message.payload) == message.payload
                assert records[answer["n"]].items() <= answer.items()

    async def main() -> None:
        at = At(folder, spares=spares)
        at.rig.broker.connect()
        await asyncio.sleep(0.01)
        for move in moves:
            if move == "wait":
                await asyncio.sleep(draw.choice([0.001, 0.02, 0.03, 2.0]))
            elif move == "cut" and at.rig.broker.up:
                at.rig.broker.cut(arrived=draw.randrange(5))
            elif move == "connect" and not at.rig.broker.up:
                at.rig.broker.connect()
            look(at)
            if move == "kill":
                known = set(answered)
                await at.end(kill=True)
                obeyed.update(at.obeyed)
                at = At(folder, spares=spares)
                assert known <= set(at.desk.seen), "they are not obeyed again"
                at.rig.broker.connect()
                await asyncio.sleep(0.01)
            elif move in {"obey", "refuse", "replay"}:
                at.hear(f"{move}-{next(numbers)}", by="bob" if move == "refuse" else "anna", replay=move == "replay")
            elif move == "again" and answered:
                at.hear(draw.choice(sorted(answered)))
        await asyncio.sleep(3.0)
        look(at)
        await at.end()
        obeyed.update(at.obeyed)

    run_virtual(main())
    assert set(obeyed.values()) <= {1}, "each once: it was sent again only after it had been answered"
