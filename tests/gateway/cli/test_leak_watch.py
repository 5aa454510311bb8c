"""`manovac leak watch` says "no leak is seen" only where a gateway is there that sees."""

import asyncio
import time
from contextlib import asynccontextmanager

import orjson
import pytest

from drivers.rig import Rig
from firmware_sim.clock import run_virtual
from gateway.cli import CommandError, leak_watch
from gateway.mqtt import payloads
from gateway.mqtt.visit import Heard

RIG = Rig.model_validate(
    {
        "station": {"id": "s", "gateway": "pi1"},
        "segment": {"cabin": {}, "airlock": {}, "tank": {}},
        "hatch": [{"between": ["cabin", "airlock"], "state": "open"}],
    }
)
START_S = 1_800_000_000.0


def leak(t_s, where=(), **kinds):
    """Make a payload of topic leak: the class of each body."""
    body = dict.fromkeys(("rate_kg_per_day", "ci95", "dpdt_pa_per_h", "reserve_s", "since"))
    bodies = [{**body, "segments": name.split("_"), "class": kind, "notes": []} for name, kind in kinds.items()]
    document = {"v": 1, "t": round((START_S + t_s) * 1000), "bodies": bodies, "where": dict(where), "next_hatch": None}
    return "manovac/v1/s/leak", orjson.dumps(document)


def status(state, t_s, reason=None):
    told = payloads.status(state=state, boot="1", t_ms=round((START_S + t_s) * 1000), reason=reason)
    return "manovac/v1/s/gw/pi1/status", told


ONLINE = status("online", -1000)


@pytest.fixture
def watched(monkeypatch, capsys):
    """Let `leak watch` run in virtual time against a script: (second, (topic, payload)), connected from a second on."""

    def run(*script, connected_s=0.1, seconds=None, once=True):
        async def main():
            loop = asyncio.get_running_loop()
            monkeypatch.setattr(time, "time", lambda: START_S + loop.time())

            class Visit:
                why = "127.0.0.1: Connection refused"

                def __init__(self, topics):
                    self._coming = [each for each in script if each[1][0] in topics]

                @property
                def connected(self):
                    return loop.time() >= connected_s

                @property
                def away_s(self):
                    return 0.0 if self.connected else loop.time()

                async def next(self):
                    if not self._coming:
                        await asyncio.Event().wait()
                    at_s, (topic, payload) = self._coming[0]
                    await asyncio.sleep(max(at_s, connected_s) - loop.time())
                    del self._coming[0]
                    return Heard(topic=topic, payload=payload)

            @asynccontextmanager
            async def visit(mqtt, *topics):
                yield Visit(topics)

            monkeypatch.setattr("gateway.mqtt.visit.visit", visit)
            try:
                async with asyncio.timeout(seconds):
                    return await leak_watch._watch(RIG, once=once, as_json=False), loop.time()
            except TimeoutError:
                return None, loop.time()

        code, took_s = run_virtual(main(), limit_s=1000)
        said = capsys.readouterr()
        return code, took_s, said.out, said.err

    return run


def test_where_a_gateway_judges_there_is_no_leak_and_what_it_does_not_judge_is_named(watched):
    code, took_s, out, err = watched((0, ONLINE), (0, leak(-10, cabin_airlock="none")))
    assert (code, err) == (0, "")
    assert took_s < 2
    assert out.startswith("2027-01-15 07:59:50 UTC  no leak is seen; not judged: tank (no transducer)\n")
    code, _, out, _ = watched((0, ONLINE), (0, leak(-10, cabin_airlock="none", tank="no-data")))
    assert code == 0
    assert "no leak is seen; not judged: tank\n" in out
    assert "tank: no data" in out


@pytest.mark.parametrize("kind", ["no-data", "collecting"])
def test_where_no_body_is_judged_nothing_can_be_said(watched, kind):
    code, _, out, _ = watched((0, ONLINE), (0, leak(-10, cabin_airlock=kind, tank=kind)))
    assert code == 4
    assert "nothing can be said" in out
    assert "no leak" not in out


def test_a_loss_is_code_3_before_anything_that_is_not_judged(watched):
    code, _, out, _ = watched((0, ONLINE), (0, leak(-10, cabin_airlock="leak", tank="no-data")))
    assert code == 3
    assert "loses air" in out or "lose air" in out


def test_what_a_gateway_knew_that_is_offline_is_not_said_as_of_now(watched):
    code, took_s, out, _ = watched((0, leak(-49, cabin_airlock="none")), (0.3, status("offline", -30, "stopped")))
    assert code == 1
    assert took_s < 2
    assert out.startswith(
        "gateway pi1 is offline since 2027-01-15 07:59:30 UTC (stopped); what it knew at 2027-01-15 07:59:11 UTC:\n"
    )
    _, _, out, _ = watched((0, leak(-49, cabin_airlock="none")), (0, status("offline", -9000, "connection lost")))
    assert out.startswith("gateway pi1 is offline (connection lost); what it knew at ")


def test_an_old_word_is_none_of_now_unless_another_follows_on_it(watched):
    old = leak(-3600, cabin_airlock="none")
    code, took_s, out, err = watched((0, ONLINE), (0, old))
    assert (code, round(took_s)) == (1, 75)
    assert "gateway pi1 says nothing any more; what it knew 61 min ago, at 2027-01-15 07:00:00 UTC:\n" in out
    assert "waiting for the next word of gateway pi1: what it said last is 60 min old" in err
    code, took_s, out, _ = watched((0, ONLINE), (0, old), (30, leak(-3570, cabin_airlock="none")))
    assert (code, round(took_s)) == (0, 30), "its clock is wrong, and it is there"
    assert "no leak is seen" in out


def test_without_a_broker_it_waits_five_seconds_and_says_why(watched):
    with pytest.raises(CommandError, match=r"no connection to the broker: 127.0.0.1: Connection refused"):
        watched(connected_s=1e9, seconds=5.6)
    code, took_s, _, _ = watched((0, ONLINE), (0, leak(0, cabin="none")), connected_s=4.0)
    assert (code, round(took_s)) == (0, 4)


def test_without_a_gateway_it_says_that_it_waits(watched, capsys):
    with pytest.raises(CommandError, match="no gateway has said anything"):
        watched(seconds=76.0)
    assert "waiting for gateway pi1 at mqtt://" in capsys.readouterr().err


def test_it_is_told_live_that_the_gateway_goes_or_falls_silent(watched):
    script = [(0, ONLINE), *((each, leak(each, cabin="none")) for each in (0, 60, 120))]
    _, _, out, _ = watched(*script, (130, status("offline", 130, "stopped")), once=False, seconds=200)
    assert out.count("no leak is seen") == 4
    assert out.count("gateway pi1 is offline since") == 1
    _, _, out, _ = watched(*script, once=False, seconds=400)
    assert out.count("gateway pi1 says nothing any more") == 1
