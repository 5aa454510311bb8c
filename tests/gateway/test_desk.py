"""The desk obeys each command once, answers it, and puts it on record; whatever comes in, it stays small and calm."""

import asyncio
import gc
import json
import tracemalloc
from collections import Counter
from contextlib import suppress

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.rig import HatchState
from drivers.rig_gateway import Permission
from firmware_sim.clock import run_virtual
from gateway import desk as desk_module
from gateway.desk import ANYBODY, BURST, RATE_PER_S, RUNNING, Desk, may
from gateway.mqtt import commands, schemas
from gateway.mqtt.commands import KINDS, LONGEST_LIFE_S, Code, CommandError
from gateway.mqtt.memory import MemoryLink
from gateway.mqtt.outbox import Message, Outbox
from gateway.mqtt.topics import Topics

TOPICS = Topics(station="iss", gateway="pi1")
WALL_S = 1e9
EVERYTHING = {"*": Permission(allow=("*",))}
LIFE_MS = 30_000
JUNK = [b"", b"{", b'{"id":"x","v":1}', b"\xff" * 100, b"[" * 4000, b" " * 9000]


class Bench:
    """A desk, and what became of what it was given.

    Attributes:
        obeyed: the commands that got through.
        holds: what each command waits for before it is done.
        deaf: whether a command cannot even be given up.
    """

    def __init__(self, permissions=EVERYTHING, refuses=None):
        self.obeyed = []
        self.holds = None
        self.deaf = False
        self.refuses = refuses
        self.answers = []
        self.records = []
        outbox = Outbox()

        def record(kind, what, t_ms, *, lasting=True):
            self.records.append((kind, orjson.loads(what)))
            return outbox.number()

        self.desk = Desk(
            self,
            record,
            permissions=permissions,
            outbox=outbox,
            topics=TOPICS,
            boot="3f9c",
            utc_ms=self.now_ms,
        )
        will = Message(topic="w", payload=b"")
        self.link = MemoryLink(outbox, self._take, client_id="x", will=will)

    def _take(self, message):
        if "/rsp/" in message.topic:
            document = json.loads(message.payload)
            jsonschema.validate(document, schemas.schema("response"))
            assert message.topic == TOPICS.response(document["id"])
            assert not message.retain
            assert (message.record, message.n) == (True, None)
            self.answers.append(document)

    @staticmethod
    def now_ms():
        return round((WALL_S + asyncio.get_running_loop().time()) * 1000)

    async def obey(self, command):
        self.obeyed.append(command)
        if self.holds is not None:
            await self.holds.wait()
        while self.deaf:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1.0)
        if self.refuses is not None:
            raise self.refuses
        return {"by": command.by}

    def hear(self, kind=commands.Hatch, *, retained=False, **words):
        envelope = {"id": "c1", "not_after": self.now_ms() + LIFE_MS, "by": "anna"}
        own = {"hatch": "prk--zvezda", "state": HatchState.OPEN} if kind is commands.Hatch else {}
        self.desk.take(TOPICS.command(kind.topic), commands.build(kind, **{**envelope, **own, **words}), retained)

    @property
    def codes(self):
        return [answer["code"] for answer in self.answers]


def at_desk(script, **words):
    """Run a script with a bench, in virtual time."""

    async def main():
        bench = Bench(**words)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run()) for each in (bench.desk, bench.link)]
            await asyncio.sleep(0.1)
            await script(bench)
            await asyncio.sleep(0.1)
            for each in running:
                each.cancel()
        return bench

    return run_virtual(main(), limit_s=1e6)


def test_a_command_is_obeyed_answered_and_put_on_record():
    async def script(bench):
        bench.hear()

    bench = at_desk(script)
    assert [command.hatch for command in bench.obeyed] == ["prk--zvezda"]
    said = {"id": "c1", "name": "hatch", "by": "anna", "status": "done", "code": "ok", "text": ""}
    said |= {"result": {"by": "anna"}, "keys": {"hatch": "prk--zvezda", "state": "open"}}
    said["digest"] = bench.answers[0]["digest"]
    head = {"v": 1, "gw": "pi1", "boot": "3f9c", "n": 1, "t": 1e12 + 100}
    assert bench.answers == [head | said]
    assert bench.records == [("command", said)]
    assert bench.desk.counts == {"ok": 1}


@pytest.mark.parametrize("words", [{}, {"retained": True}, {"by": "bob"}])
def test_record_and_log_say_what_was_commanded_obeyed_or_not(words, caplog):
    async def script(bench):
        bench.hear(commands.Write, transducer="g1", setting="zero", value=7, **words)
        bench.desk.take(TOPICS.command("write"), b'{"id":"c2","transducer":"g1"}', False)

    with caplog.at_level("INFO", "gateway.desk"):
        bench = at_desk(script, permissions={"anna": Permission(allow=("*",))})
    own = {"transducer": "g1", "setting": "zero", "value": 7.0}
    assert {record["id"]: record["keys"] for _, record in bench.records} == {"c1": own, "c2": None}
    assert str(own) in caplog.text


def test_a_duplicate_gets_the_same_answer_and_is_not_obeyed_again():
    async def script(bench):
        for _ in range(3):
            bench.hear(not_after=round(WALL_S * 1000) + LIFE_MS)
            await asyncio.sleep(1.0)
        await asyncio.sleep(LIFE_MS / 1000)
        bench.hear(not_after=round(WALL_S * 1000) + LIFE_MS)  # expired by now, and still answered as before

    bench = at_desk(script)
    assert len(bench.obeyed) == 1
    assert bench.answers == [bench.answers[0]] * 4
    assert len(bench.records) == 1
    assert bench.desk.counts == {"ok": 1, "duplicate": 3}


def test_a_duplicate_of_one_that_is_still_obeyed_waits_for_its_answer():
    async def script(bench):
        bench.holds = asyncio.Event()
        for _ in range(2):
            bench.hear(not_after=round(WALL_S * 1000) + LIFE_MS)
            await asyncio.sleep(1.0)
        assert bench.answers == []
        bench.holds.set()

    bench = at_desk(script)
    assert (len(bench.obeyed), bench.codes) == (1, ["ok"])


def test_another_command_of_the_same_id_is_refused_and_the_first_stays_known():
    async def script(bench):
        until = bench.now_ms() + LIFE_MS
        for state in ("open", "closed", "open"):
            bench.hear(state=state, not_after=until)
            await asyncio.sleep(0.1)

    bench = at_desk(script)
    assert [command.state for command in bench.obeyed] == ["open"]
    assert bench.codes == ["ok", "id_reused", "ok"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"retained": True}, Code.RETAINED),
        ({"not_after": round(WALL_S * 1000)}, Code.EXPIRED),
        ({"not_after": round((WALL_S + LONGEST_LIFE_S + 10) * 1000)}, Code.TOO_FAR),
        ({"kind": commands.Reload, "by": "bob"}, Code.NOT_ALLOWED),
    ],
)
def test_what_is_old_or_forbidden_is_refused_answered_and_put_on_record(words, code):
    async def script(bench):
        bench.hear(**words)

    bench = at_desk(script, permissions={"anna": Permission(allow=("hatch",))})
    assert bench.obeyed == []
    assert bench.codes == [code.value]
    assert [record["code"] for _, record in bench.records] == [code.value]
    assert bench.answers[0]["status"] == code.status
    assert bench.answers[0]["by"] == words.get("by", "anna")


def test_what_has_no_id_is_put_on_record_and_not_answered():
    async def script(bench):
        for payload in (b"open sesame", b'{"id":"a"}' + b" " * 5000, b'{"id":"\xff"}'):
            bench.desk.take(TOPICS.command("hatch"), payload, False)
        bench.desk.take(TOPICS.command("a/b"), b'{"id":"a1","by":7}', False)

    bench = at_desk(script)
    assert [record["code"] for _, record in bench.records] == ["malformed", "too_large", "malformed", "unknown_command"]
    assert bench.codes == ["unknown_command"]
    assert bench.answers[0]["by"] is None


def test_without_an_entry_only_the_gateways_view_can_be_changed():
    for name in KINDS:
        assert may({}, "anybody", name) == (name in ANYBODY)
    permissions = {"anna": Permission(allow=("rate",)), "*": Permission(allow=("replay",))}
    assert [name for name in KINDS if may(permissions, "anna", name)] == ["rate"]
    assert [name for name in KINDS if may(permissions, "bob", name)] == ["replay"]
    assert all(may({"anna": Permission(allow=("*",))}, "anna", name) for name in KINDS)
    assert not may({"anna": Permission(allow=())}, "anna", "hatch")


def test_what_cannot_be_done_says_why_and_a_bug_ends_nothing(caplog):
    async def script(bench):
        bench.hear(id="c1")
        await asyncio.sleep(0.1)
        bench.refuses = ZeroDivisionError("secret inside")
        bench.hear(id="c2")
        await asyncio.sleep(0.1)
        bench.refuses = None
        bench.hear(id="c3")

    bench = at_desk(script, refuses=CommandError(Code.NO_ANSWER, "it is silent"))
    assert bench.codes == ["no_answer", "bug", "ok"]
    assert [answer["status"] for answer in bench.answers] == ["failed", "failed", "done"]
    assert bench.answers[0]["text"] == "it is silent"
    assert "secret" not in bench.answers[1]["text"]
    assert "ZeroDivisionError" in caplog.text


def test_what_is_not_finished_at_the_end_is_answered_as_stopped():
    async def script(bench):
        bench.holds = asyncio.Event()
        bench.hear()

    bench = at_desk(script)
    assert [record["code"] for _, record in bench.records] == ["stopped"]


def test_one_that_takes_too_long_is_given_up_and_makes_room():
    async def script(bench):
        bench.holds = asyncio.Event()
        for number in range(RUNNING):
            bench.hear(commands.Reload, id=f"c{number}")
        await asyncio.sleep(commands.Reload.limit_s + 0.1)
        assert set(bench.codes) == {"timed_out"}
        assert (bench.answers[0]["status"], bench.desk.overdue_s()) == ("failed", 0.0)
        bench.holds.set()
        bench.hear(id="next")

    bench = at_desk(script)
    assert bench.answers[-1]["code"] == "ok"
    assert {kind.limit_s for kind in KINDS.values() if kind.limit_s > 90} == {commands.Rescan.limit_s}


def test_one_that_cannot_even_be_given_up_makes_the_desk_overdue():
    async def script(bench):
        bench.deaf = True
        bench.hear()
        await asyncio.sleep(commands.Hatch.limit_s - 1)
        assert bench.desk.overdue_s() == 0
        await asyncio.sleep(400.0)
        assert bench.desk.overdue_s() == pytest.approx(399, abs=0.5)
        bench.deaf = False
        await asyncio.sleep(2.0)
        assert bench.desk.overdue_s() == 0

    at_desk(script)


def test_only_so_many_are_obeyed_at_the_same_time():
    async def script(bench):
        bench.holds = asyncio.Event()
        for number in range(RUNNING + 1):
            bench.hear(id=f"c{number}")
        await asyncio.sleep(0.1)
        assert bench.codes == ["busy"]
        bench.holds.set()

    bench = at_desk(script)
    assert Counter(bench.codes) == {"busy": 1, "ok": RUNNING}


def test_a_consumer_that_asks_without_end_silences_no_operator():
    async def script(bench):
        for number in range(300):
            bench.hear(commands.Replay, id=f"r{number}", by="store", first=1, last=2)
        bench.hear(id="now")
        await asyncio.sleep(0.1)
        for number in range(300):
            bench.hear(id=f"h{number}")
        bench.hear(commands.Replay, id="last", by="store", first=1, last=2)

    bench = at_desk(script)
    assert "now" in [answer["id"] for answer in bench.answers]
    assert [record["name"] for _, record in bench.records if record["code"] == "too_many"] == ["replay", "hatch"]


def test_malformed_commands_that_are_all_read_are_all_refused_and_none_is_remembered():
    async def script(bench):
        for number in range(1_000):
            bench.desk.take(TOPICS.command("hatch"), JUNK[number % len(JUNK)], False)
            await asyncio.sleep(1 / RATE_PER_S)

    bench = at_desk(script)
    assert bench.obeyed == []
    assert bench.desk.counts.keys() == {"malformed", "invalid", "too_large"}
    assert sum(bench.desk.counts.values()) == len(bench.records) == 1_000
    assert bench.desk.seen == {}


def test_ten_thousand_malformed_commands_are_counted_none_is_obeyed_and_memory_stays_flat():
    async def script(bench):
        before = 0
        for number in range(10_000):
            if number == 2_000:
                gc.collect()
                tracemalloc.start()
                before = tracemalloc.get_traced_memory()[0]
            bench.desk.take(TOPICS.command("hatch"), JUNK[number % len(JUNK)], False)
            if number % 100 == 0:
                await asyncio.sleep(0.01)
        gc.collect()
        bench.grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()

    bench = at_desk(script)
    assert bench.obeyed == []
    assert sum(bench.desk.counts.values()) == 10_000
    assert bench.desk.counts["too_many"] > 9_900
    assert [record["code"] for _, record in bench.records].count("too_many") == 1, "one record for the whole burst"
    assert len(bench.records) < BURST + 10
    assert bench.grown < 50_000


def test_after_a_burst_commands_are_taken_again_and_the_next_burst_is_told_again():
    async def script(bench):
        for burst in range(2):
            for number in range(BURST + 5):
                bench.hear(id=f"c{burst}-{number}")
                await asyncio.sleep(0)
            await asyncio.sleep(2 * BURST / RATE_PER_S)
            bench.hear(id=f"later-{burst}")
            await asyncio.sleep(1.0)

    bench = at_desk(script)
    assert bench.codes.count("ok") >= 2 * BURST
    assert [record["id"] for _, record in bench.records].count("later-1") == 1
    assert [record["code"] for _, record in bench.records].count("too_many") == 2


def test_memory_of_answers_is_bounded_and_outlives_each_command(monkeypatch):
    assert 2 * (RATE_PER_S * LONGEST_LIFE_S + BURST) < desk_module.REMEMBERED
    monkeypatch.setattr(desk_module, "REMEMBERED", 10)

    async def script(bench):
        for number in range(30):
            bench.hear(id=f"c{number}")
            await asyncio.sleep(1.0)

    bench = at_desk(script)
    assert list(bench.desk.seen) == [f"c{number}" for number in range(20, 30)]


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["open", "closed"]), st.sampled_from(["a", "b"]), st.sampled_from([-1, 0, 20]),
            st.booleans(), st.sampled_from(["anna", "bob"]), st.sampled_from([0.0, 0.3, 15.0]),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_each_id_is_obeyed_at_most_once_and_each_command_is_counted_once(sent):
    async def script(bench):
        until = bench.now_ms()
        for state, command_id, life_s, retained, by, pause_s in sent:
            bench.hear(id=command_id, state=state, by=by, not_after=until + 1000 * life_s, retained=retained)
            await asyncio.sleep(pause_s)

    bench = at_desk(script, permissions={"bob": Permission(allow=())})
    ids = [command.id for command in bench.obeyed]
    assert len(set(ids)) == len(ids)
    assert all(command.by == "anna" for command in bench.obeyed)
    assert sum(bench.desk.counts.values()) == len(sent)
    done = {answer["id"]: answer["n"] for answer in bench.answers if answer["status"] == "done"}
    assert set(done) == set(ids)
