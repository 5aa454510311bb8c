"""Where commands come in: each is judged, obeyed at most once, answered and put on record, whatever is sent.

In this order: too many are not even read; what is no command is refused; one that was answered before gets the same
answer again; then retained, expired and forbidden ones are refused; the rest is obeyed, several at a time.
"""

import asyncio
import hashlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import orjson

from drivers.rig_gateway import Permission
from gateway.mqtt.commands import (
    LONGEST_LIFE_S,
    Code,
    Command,
    CommandError,
    Verdict,
    answer,
    named,
    read,
)
from gateway.mqtt.journal import Journal, JournalError
from gateway.mqtt.outbox import Message, Outbox
from gateway.mqtt.topics import Topics

_log: Final = logging.getLogger(__name__)
RATE_PER_S: Final = 2.0
BURST: Final = 20
"""So many commands may come at once, and `RATE_PER_S` for longer."""
REMEMBERED: Final = 16_384
"""Answers that are remembered: more than come at twice `RATE_PER_S` while a command can be valid."""
_DIGITS: Final = 16  # of a digest, hexadecimal
_ROUTINE: Final = ("replay",)  # a consumer that misses something asks each minute, for ever: that need not stay
_LASTING: Final = ("done", "failed")  # what was refused need not stay either: anybody can send as much as he likes
RUNNING: Final = 16
"""Commands that are being obeyed at the same time."""
ANYBODY: Final = frozenset({"hatch", "event", "acknowledge", "shelve", "replay"})
"""What whoever the broker lets through may command where `[commands]` says nothing: it changes Manovac's view alone."""


class Obeys(Protocol):
    """Who does what a command says: `gateway.operations.Operations`."""

    async def obey(self, command: Command, /) -> Mapping[str, Any] | None:
        """Do it and return what came of it.

        Raises:
            CommandError: it cannot be done, or was not.
        """
        ...


class Records(Protocol):
    """Puts an event on record: `gateway.findings.Findings.record`."""

    def __call__(self, kind: str, what: bytes, t_ms: int, /, *, lasting: bool = True) -> int:
        """Take what is said of it, a JSON object, when that was, and whether it stays when telemetry makes room.

        Returns its number.
        """
        ...


@dataclass(slots=True)
class _Bucket:
    """Says who comes too often; `level` is how many may come now, `flooded` whether that was told."""

    level: float
    at_s: float
    flooded: bool = False

    def take(self, now_s: float) -> bool:
        self.level = min(self.level + (now_s - self.at_s) * RATE_PER_S, BURST)
        self.at_s = now_s
        if self.level < 1:
            return False
        self.level -= 1
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A command that was accepted.

    Attributes:
        digest: of its name and payload; None where a journal of an older version has none.
        answer: None while it is being obeyed.
    """

    digest: str | None
    answer: bytes | None = None


def seen_before(journal: Journal, topics: Topics) -> dict[str, Seen]:
    """Return what the journal has of commands that were obeyed before this start, the newest `REMEMBERED` of them.

    What was put on record of a command is what was answered. How old it is does not count: a clock may have been wrong.
    """
    try:
        events = list(journal.events(topics.event("command"), limit=REMEMBERED))
    except JournalError as error:
        _log.warning("%s: a command that comes again may be obeyed again", error)
        return {}
    found = {}
    for event in events:
        with suppress(KeyError, TypeError, ValueError):  # a row that is no record of a command
            said = event["command"]
            if said["id"] is not None and said["status"] in _LASTING:
                payload = answer(said, gateway=event["gw"], boot=event["boot"], n=event["n"], t_ms=event["t"])
                found[said["id"]] = Seen(digest=said.get("digest"), answer=payload)
    return found


def may(permissions: Mapping[str, Permission], by: str, name: str) -> bool:
    """Say whether somebody may give that command: by an entry of his own, else by that of "*", else as `ANYBODY`."""
    permission = permissions.get(by) or permissions.get("*")
    allowed = ANYBODY if permission is None else permission.allow
    return name in allowed or "*" in allowed


class Desk:
    """Takes the commands of one gateway. Bounded in everything; nothing that comes in raises.

    Args:
        obeys: does what is said.
        record: puts an event on record.
        permissions: of the rig file, by issuer.
        outbox, topics, boot: for answers.
        utc_ms: now.
        seen: what the desk before this one had seen.
        counts: what it had counted.

    Attributes:
        name: for logs and health.
        counts: commands so far, by the code of their answer; "duplicate" for those answered from memory.
        seen: accepted commands by id, the oldest first.
    """

    def __init__(
        self,
        obeys: Obeys,
        record: Records,
        *,
        permissions: Mapping[str, Permission],
        outbox: Outbox,
        topics: Topics,
        boot: str,
        utc_ms: Callable[[], int],
        seen: Mapping[str, Seen] | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self.name = "commands"
        self.counts = Counter(counts or {})
        self._obeys = obeys
        self._record = record
        self._permissions = permissions
        self._outbox = outbox
        self._topics = topics
        self._boot = boot
        self._utc_ms = utc_ms
        self._loop = asyncio.get_running_loop()
        # Routine has its own: who may do nothing else silences nobody who may.
        self._buckets = {routine: _Bucket(BURST, self._loop.time()) for routine in (False, True)}
        self.seen: dict[str, Seen] = dict(seen or {})
        self._due_s: dict[str, float] = {}  # by when each that is being obeyed is done, or given up
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Obey until cancelled; what is not finished by then is answered as stopped."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def overdue_s(self) -> float:
        """Return for how long a command is not done though it should have been given up."""
        return max(self._loop.time() - min(self._due_s.values(), default=math.inf), 0.0)

    def take(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - an inbox is told so
        """Take what came on a topic of commands; not when about to end: the next gateway will, if it comes again."""
        if self._tasks is None:
            return
        name = topic.removeprefix(self._topics.command(""))
        bucket = self._buckets[name in _ROUTINE]
        if not bucket.take(self._loop.time()):
            self._flood(name, bucket)
            return
        bucket.flooded = bucket.flooded and bucket.level < BURST - 1
        verdict = Verdict(id=None, name=name, by=None, code=Code.OK)
        try:
            words = named(payload)
            digest = hashlib.sha256(orjson.dumps([name]) + payload).hexdigest()[:_DIGITS]
            verdict = replace(verdict, id=words["id"], by=_text(words.get("by")), digest=digest)
            if not self._known(words["id"], digest):
                command = read(name, payload)
                verdict = replace(verdict, keys=command.own_keys())
                self._admit(command, retained=retained)
                self._start(self._tasks, command, verdict)
        except CommandError as error:
            self._say(replace(verdict, code=error.code, text=error.text))

    def _flood(self, name: str, bucket: _Bucket) -> None:
        """Count what comes too often; put the first of a burst on record."""
        self.counts[Code.TOO_MANY.value] += 1
        if not bucket.flooded:
            bucket.flooded = True
            text = (
                f"more than {BURST} at once, or {RATE_PER_S:g} a second: not read, not answered, until they are fewer"
            )
            self._put_on_record(Verdict(id=None, name=name, by=None, code=Code.TOO_MANY, text=text), self._utc_ms())

    def _known(self, command_id: str, digest: str) -> bool:
        """Say whether a command has come before; send its answer again if so, and if there is one yet.

        Raises:
            CommandError: another command had that id.
        """
        seen = self.seen.get(command_id)
        if seen is None:
            return False
        if seen.digest not in (None, digest):
            raise CommandError(Code.ID_REUSED, "another command had this id: choose a new one")
        self.counts["duplicate"] += 1
        if seen.answer is not None:
            self._outbox.put(Message(topic=self._topics.response(command_id), payload=seen.answer, record=True))
        return True

    def _admit(self, command: Command, *, retained: bool) -> None:
        """Let a command in.

        Raises:
            CommandError: it is old, or forbidden.
        """
        now_ms = self._utc_ms()
        if retained:
            text = "its retain flag is set: take it from the broker (an empty retained message), send without retain"
            raise CommandError(Code.RETAINED, text)
        if command.not_after < now_ms:
            late_s = (now_ms - command.not_after) / 1000
            raise CommandError(Code.EXPIRED, f"it came {late_s:.1f} s after its not_after, by this gateway's clock")
        if command.not_after > now_ms + LONGEST_LIFE_S * 1000:
            text = f"not_after lies more than {LONGEST_LIFE_S / 3600:g} h ahead, by this gateway's clock ({now_ms})"
            raise CommandError(Code.TOO_FAR, text)
        if not may(self._permissions, command.by, command.topic):
            text = f"'{command.by}' may not command {command.topic}: [commands] of the rig file says who may what"
            raise CommandError(Code.NOT_ALLOWED, text)

    def _start(self, tasks: asyncio.TaskGroup, command: Command, verdict: Verdict) -> None:
        if len(self._due_s) >= RUNNING:
            raise CommandError(Code.BUSY, f"{RUNNING} commands are being obeyed already: send it again later")
        self._remember(command.id, Seen(digest=verdict.digest))
        self._due_s[command.id] = self._loop.time() + command.limit_s
        tasks.create_task(self._work(command, verdict), name=f"command {command.topic}")

    def _remember(self, command_id: str, seen: Seen) -> None:
        self.seen[command_id] = seen
        if len(self.seen) > REMEMBERED:
            del self.seen[next(iter(self.seen))]

    async def _work(self, command: Command, verdict: Verdict) -> None:
        try:
            async with asyncio.timeout(command.limit_s):
                verdict = replace(verdict, result=await self._obeys.obey(command))
        except CommandError as error:
            verdict = replace(verdict, code=error.code, text=error.text)
        except TimeoutError:
            text = f"given up after {command.limit_s:g} s: nobody knows how far it came, and it may still take effect"
            verdict = replace(verdict, code=Code.TIMED_OUT, text=text)
        except asyncio.CancelledError:
            text = "the gateway stopped before it was done: nobody knows how far it came"
            verdict = replace(verdict, code=Code.STOPPED, text=text)
            raise
        except Exception:  # noqa: BLE001 - whatever a command meets, it ends nothing else
            _log.exception("command %s %s failed", verdict.name, verdict.id)
            verdict = replace(verdict, code=Code.BUG, text="a bug: the gateway's log has it")
        finally:
            del self._due_s[command.id]
            self._say(verdict)

    def _say(self, verdict: Verdict) -> None:
        """Put a command on record, count it and answer it: what is answered is on record before it is said."""
        self.counts[verdict.code.value] += 1
        t_ms = self._utc_ms()
        n = self._put_on_record(verdict, t_ms)
        if verdict.id is not None:
            payload = answer(verdict.words(), gateway=self._topics.gateway, boot=self._boot, n=n, t_ms=t_ms)
            self._outbox.put(Message(topic=self._topics.response(verdict.id), payload=payload, record=True))
            seen = self.seen.get(verdict.id)
            if seen is not None and seen.answer is None and verdict.code is not Code.ID_REUSED:
                self.seen[verdict.id] = replace(seen, answer=payload)

    def _put_on_record(self, verdict: Verdict, t_ms: int) -> int:
        said = verdict.words()
        # what somebody sent stands in quotes: nobody writes lines of our log
        _log.info(
            "command %r %s by %r, %r: %s %r", *(said[each] for each in ("name", "id", "by", "keys", "code", "text"))
        )
        lasting = verdict.name not in _ROUTINE and verdict.code.status in _LASTING
        return self._record("command", orjson.dumps(said), t_ms, lasting=lasting)


def _text(by: object) -> str | None:
    """Return an issuer's name if it could be one; what is said of a command that is refused names him, too."""
    return by if isinstance(by, str) and len(by) <= 64 else None
