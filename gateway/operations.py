"""What commands do: each to the part of the gateway that it is about."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final, Protocol

from drivers import registry
from drivers.exchange import Outcome
from drivers.line_use import SHARE_LIMIT, bus_use
from drivers.reading import Quality, Readings, Reason
from drivers.rig import Rig, Transducer
from drivers.rig_problems import RigError, brief
from drivers.setting import SettingError
from drivers.transport.own_thread import in_own_thread
from gateway.alarms import UnknownAlarmError
from gateway.calibrations import Calibrations, Told, calibrated
from gateway.findings import Findings
from gateway.mqtt import commands
from gateway.mqtt.commands import Code, Command, CommandError
from gateway.poller import Poller

_log: Final = logging.getLogger(__name__)
_ZERO_READINGS: Final = 5
_ZERO_POLL_S: Final = 10.0  # whoever stands at the device waits for them
_ZERO_SHARE: Final = 0.05  # of the range: by more, it is another fault than a wrong zero
_ZERO_PA: Final = 5000.0  # where there is no range
_ANEW_S: Final = 30.0
_ANSWER_FIRST_S: Final = 0.3  # for the answer to get through journal and link before the gateway ends

Result = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRig:
    """A rig file that was found good, and its hash."""

    rig: Rig
    rig_hash: str


class Adopts(Protocol):
    """Takes a rig with other words of one transducer: `gateway.app.Gateway`."""

    def __call__(self, rig: Rig, transducer: str, /) -> None:
        """Go on with it."""
        ...


class Operations:
    """Obeys the commands of one gateway.

    Args:
        rig: as it is at the start.
        pollers: of its buses.
        findings: for hatches, events, alarms.
        listeners: where readings can be heard.
        replay: delivers messages of record again; says how many there are.
        adopt: takes a changed rig.
        calibrations: where those given by command are kept.
        load: reads the rig file anew; None where there is none to read. Raises RigError.
        utc_ms: now.

    Attributes:
        rig: as it is now, changed by commands.
        successor: done with the rig to go on with, once `reload` has found a good one.
    """

    def __init__(
        self,
        rig: Rig,
        *,
        pollers: Sequence[Poller],
        findings: Findings,
        listeners: MutableSequence[Callable[[Readings], None]],
        replay: Callable[[int, int], Awaitable[int]],
        adopt: Adopts,
        calibrations: Calibrations,
        load: Callable[[], NewRig] | None,
        utc_ms: Callable[[], int],
    ) -> None:
        self.rig = rig
        self.successor: asyncio.Future[NewRig] = asyncio.get_running_loop().create_future()
        self._pollers = {poller.bus.name: poller for poller in pollers}
        self._findings = findings
        self._listeners = listeners
        self._again = replay
        self._adopt = adopt
        self._calibrations = calibrations
        self._load = load
        self._utc_ms = utc_ms
        self._calibrating = asyncio.Lock()
        self._reading = False
        self._kinds: Mapping[type[Command], Callable[[Any], Awaitable[Result]]] = {
            commands.Hatch: self._hatch,
            commands.Happening: self._event,
            commands.Acknowledge: self._acknowledge,
            commands.Shelve: self._shelve,
            commands.Replay: self._replay,
            commands.Rate: self._rate,
            commands.Pause: self._pause,
            commands.Resume: self._resume,
            commands.Rescan: self._rescan,
            commands.Zero: self._zero,
            commands.Calibrate: self._calibrate,
            commands.Write: self._write,
            commands.Reload: self._reload,
        }

    async def obey(self, command: Command) -> Result:
        """Do what a command says and return what came of it.

        Raises:
            CommandError: it cannot be done, or was not.
        """
        return await self._kinds[type(command)](command)

    @property
    def paused(self) -> frozenset[str]:
        """The transducers that are not asked."""
        return frozenset().union(*(poller.paused for poller in self._pollers.values()))

    async def _hatch(self, command: commands.Hatch) -> Result:
        try:
            self._findings.move_hatch(command.hatch, command.state)
        except LookupError as error:
            raise CommandError(Code.NOT_FOUND, str(error.args[0])) from None
        (written,) = (hatch.state for hatch in self.rig.hatches if hatch.id == command.hatch)
        return {"hatch": command.hatch, "state": command.state.value, "rig_file": written.value}

    async def _event(self, command: commands.Happening) -> Result:
        try:
            self._findings.expect(
                command.kind, command.segment, lasts_s=command.lasts_s, mass_kg=command.mass_kg, by=command.by
            )
        except LookupError as error:
            raise CommandError(Code.NOT_FOUND, str(error.args[0])) from None
        return None

    async def _acknowledge(self, command: commands.Acknowledge) -> Result:
        try:
            alarm = self._findings.acknowledge(command.alarm)
        except UnknownAlarmError as error:
            raise CommandError(Code.NOT_FOUND, str(error)) from None
        return {"alarm": command.alarm, "state": alarm.state.value}

    async def _shelve(self, command: commands.Shelve) -> Result:
        try:
            alarm = self._findings.shelve(command.alarm, command.lasts_s)
        except UnknownAlarmError as error:
            raise CommandError(Code.NOT_FOUND, str(error)) from None
        return {"alarm": command.alarm, "state": alarm.state.value}

    async def _replay(self, command: commands.Replay) -> Result:
        numbers = await self._again(command.first, command.last)
        if not numbers:
            raise CommandError(Code.NOT_FOUND, "the journal has none of these numbers")
        return {"numbers": numbers}

    def _words(self, transducer: str) -> tuple[Transducer, Poller]:
        words = self.rig.transducers.get(transducer)
        if words is None:
            text = f"no transducer '{transducer}' in the rig (there are: {', '.join(self.rig.transducers)})"
            raise CommandError(Code.NOT_FOUND, text)
        return words, self._pollers[words.bus]

    async def _rate(self, command: commands.Rate) -> Result:
        words, poller = self._words(command.transducer)
        rig = self.rig.with_transducer(command.transducer, poll=command.poll_s)
        before, use = (
            bus_use(each.buses[words.bus], each.units(words.bus), registry.model) for each in (self.rig, rig)
        )
        if use.fraction > max(SHARE_LIMIT, before.fraction):
            text = (
                f"bus '{words.bus}' would be in use for {use.fraction:.0%} of its time: more than"
                f" {SHARE_LIMIT:.0%} leaves nothing for repeats and commands"
            )
            raise CommandError(Code.NOT_POSSIBLE, text)
        self._take(rig, command.transducer)
        poller.set_period(words.unit, use.period_s[words.unit])
        return {"before_s": words.poll, "poll_s": command.poll_s, "unit_polled_s": use.period_s[words.unit]}

    def _take(self, rig: Rig, transducer: str) -> None:
        self.rig = rig
        self._adopt(rig, transducer)

    async def _pause(self, command: commands.Pause) -> Result:
        poller, names = self._target(command)
        poller.paused |= names
        return self._told_paused(names)

    async def _resume(self, command: commands.Resume) -> Result:
        poller, names = self._target(command)
        poller.paused -= names
        return self._told_paused(names)

    def _told_paused(self, names: set[str]) -> Result:
        self._adopt(self.rig, min(names))
        return {"paused": sorted(self.paused)}

    def _target(self, command: commands.Pause | commands.Resume | commands.Rescan) -> tuple[Poller, set[str]]:
        if command.transducer is not None:
            return self._words(command.transducer)[1], {command.transducer}
        poller = self._pollers.get(command.bus or "")
        if poller is None:
            text = f"no bus '{command.bus}' with transducers in the rig (there are: {', '.join(self._pollers)})"
            raise CommandError(Code.NOT_FOUND, text)
        return poller, {name for name, words in self.rig.transducers.items() if words.bus == command.bus}

    async def _rescan(self, command: commands.Rescan) -> Result:
        poller, names = self._target(command)
        if command.transducer is not None:
            found = await self._asked_anew(poller, self.rig.transducers[command.transducer].unit, names)
            return found[command.transducer]
        told: dict[str, Mapping[str, Any]] = {}
        failed: list[CommandError] = []
        for unit, transducers in self.rig.units(poller.bus.name).items():
            try:
                found = await self._asked_anew(poller, unit, transducers)
            except CommandError as error:
                failed.append(error)
                told |= {name: {"code": error.code.value, "text": error.text} for name in transducers}
            else:
                told |= {name: {"code": Code.OK.value, **each} for name, each in found.items()}
        if all(each["code"] != Code.OK.value for each in told.values()):
            raise CommandError(failed[0].code, "; ".join(error.text for error in failed))
        return {"transducers": told}

    async def _asked_anew(self, poller: Poller, unit: int, names: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return what a unit says when it is asked at once who it is, by transducer.

        Raises:
            CommandError: nobody answers, or another device than the rig file says.
        """
        if poller.paused.issuperset(names):
            raise CommandError(Code.NOT_POSSIBLE, f"paused, to be resumed first: {', '.join(sorted(names))}")
        try:
            async with asyncio.timeout(_ANEW_S):
                raw = await poller.poll_anew(unit)
        except TimeoutError:
            raise CommandError(Code.NO_ANSWER, f"unit {unit}: the line was not free for {_ANEW_S:g} s") from None
        identity = poller.readers[unit].identity
        if identity.reason is not Reason.NONE:
            why = (identity.reason.word or "").replace("_", " ")
            code = Code.NOT_CONFIRMED if identity.reason is Reason.IDENTITY_MISMATCH else Code.NO_ANSWER
            raise CommandError(code, f"unit {unit}: {why} ({identity.text or 'nobody answers'})")
        reasons: dict[str, set[str]] = {name: set() for name in names}
        for channel, reason in zip(raw.channels, raw.reasons, strict=True):
            if channel.transducer in reasons and (word := Reason(int(reason)).word):
                reasons[channel.transducer].add(word)
        who = {"identity": identity.text, "serial_number": identity.serial_number}
        return {name: who | {"reasons": sorted(words)} for name, words in reasons.items()}

    async def _zero(self, command: commands.Zero) -> Result:
        words, _ = self._words(command.transducer)
        if words.poll > _ZERO_POLL_S:
            text = f"'{command.transducer}' is polled each {words.poll:g} s only: give it another rate for it"
            raise CommandError(Code.NOT_POSSIBLE, text)
        change_pa = command.at_pa - (shown_pa := await self._shown_pa(command.transducer, words))
        span_pa = None if words.range is None else words.range[1] - words.range[0]
        most_pa = _ZERO_PA if span_pa is None else _ZERO_SHARE * span_pa
        if abs(change_pa) > most_pa:
            text = (
                f"'{command.transducer}' shows {shown_pa:.1f} Pa where {command.at_pa:g} Pa is true: more than"
                f" {most_pa:g} Pa is no matter of its zero"
            )
            raise CommandError(Code.NOT_POSSIBLE, text)
        shown_by = words.calibration
        offset_pa, gain = (0.0, 1.0) if shown_by is None else (shown_by.offset, shown_by.gain)
        return await self._recalibrate(command, offset_pa + change_pa, gain, zeroed=words)

    async def _shown_pa(self, transducer: str, words: Transducer) -> float:
        """Return the mean of the next few readings.

        Raises:
            CommandError: one of them is not good, or they do not come.
        """
        heard: asyncio.Queue[tuple[float, Quality]] = asyncio.Queue()

        def listen(readings: Readings) -> None:
            for channel, value, quality in zip(readings.channels, readings.values, readings.quality, strict=True):
                if channel.id == f"{transducer}.pressure":
                    heard.put_nowait((float(value), Quality(int(quality))))

        self._listeners.append(listen)
        values: list[float] = []
        try:
            async with asyncio.timeout((_ZERO_READINGS + 2) * words.poll + 5.0):
                while len(values) < _ZERO_READINGS:
                    value, quality = await heard.get()
                    if quality is Quality.BAD or math.isnan(value):
                        raise CommandError(Code.NO_ANSWER, f"'{transducer}' gives no good reading")
                    values.append(value)
        except TimeoutError:
            raise CommandError(Code.NO_ANSWER, f"'{transducer}' gave {len(values)} readings only") from None
        finally:
            self._listeners.remove(listen)
        return fmean(values)

    async def _calibrate(self, command: commands.Calibrate) -> Result:
        self._words(command.transducer)
        return await self._recalibrate(command, command.offset_pa, command.gain)

    async def _recalibrate(
        self,
        command: commands.Zero | commands.Calibrate,
        offset_pa: float,
        gain: float,
        *,
        zeroed: Transducer | None = None,
    ) -> Result:
        """Keep a calibration first, then let it take effect; one that is given up while a disk hangs does so later.

        Args:
            command: whose it is.
            offset_pa: the new one.
            gain: the new one.
            zeroed: the transducer as it was read, where the calibration is made of readings.

        Raises:
            CommandError: it could not be kept, or the readings were made with another one than the last.
        """
        await self._calibrating.acquire()
        changing = asyncio.ensure_future(self._change_calibration(command, offset_pa, gain, zeroed))
        changing.add_done_callback(lambda _: self._calibrating.release())
        return await asyncio.shield(changing)

    async def _change_calibration(
        self, command: commands.Zero | commands.Calibrate, offset_pa: float, gain: float, zeroed: Transducer | None
    ) -> Result:
        before = self.rig.transducers[command.transducer].calibration
        if zeroed is not None and before is not zeroed.calibration:
            text = f"'{command.transducer}' was calibrated while it was read: nothing was changed, send it again"
            raise CommandError(Code.BUSY, text)
        told = Told(offset_pa=offset_pa, gain=gain, by=command.by, t_ms=self._utc_ms(), id=command.id)
        try:
            kept = await self._calibrations.keep(command.transducer, told)
        except OSError as error:
            text = f"it could not be kept, so nothing was changed: {error.strerror or error}"
            raise CommandError(Code.NOT_KEPT, text) from None
        self._take(calibrated(self.rig, command.transducer, told), command.transducer)
        old = {"offset_pa": before.offset, "gain": before.gain} if before else {"offset_pa": 0.0, "gain": 1.0}
        return {"before": old, "now": {"offset_pa": offset_pa, "gain": gain}, "kept": kept}

    async def _write(self, command: commands.Write) -> Result:
        words, poller = self._words(command.transducer)
        settings = words.settings or {}
        if command.setting not in settings:
            there = ", ".join(settings) or "none"
            text = f"'{command.transducer}' has no setting '{command.setting}' in the rig file (there are: {there})"
            raise CommandError(Code.NOT_FOUND, text)
        if command.transducer in poller.paused:
            raise CommandError(Code.NOT_POSSIBLE, f"'{command.transducer}' is paused: resume it first")
        try:
            written = await poller.readers[words.unit].write(
                settings[command.setting], command.value, last_look=lambda: self._still_valid(command)
            )
        except ValueError as error:
            raise CommandError(Code.NOT_POSSIBLE, str(error)) from None
        except SettingError as error:
            code = {Outcome.EXCEPTION: Code.DEVICE_REFUSED, Outcome.REPLY: Code.NOT_CONFIRMED}.get(
                error.outcome, Code.NO_ANSWER
            )
            raise CommandError(code, str(error)) from None
        return {"before": written.before, "read_back": written.now}

    def _still_valid(self, command: Command) -> None:
        """Look again at a command that has waited for others.

        Raises:
            CommandError: its time is over.
        """
        if command.not_after < self._utc_ms():
            raise CommandError(Code.EXPIRED, "its not_after passed while it waited for the device; nothing was written")

    async def _reload(self, _: commands.Reload) -> Result:
        if self._load is None:
            raise CommandError(Code.NOT_POSSIBLE, "this gateway has no rig file that could be read anew")
        if self._reading:
            raise CommandError(Code.BUSY, "a new rig file is being read, or takes over, just now")
        self._reading = True
        reading = in_own_thread(self._load, name="rig file")
        try:
            found = await asyncio.shield(reading)
        except BaseException as error:
            reading.add_done_callback(self._read)  # now, or when what hangs has ended
            if isinstance(error, RigError | ValueError):
                why = brief(error.problems) if isinstance(error, RigError) else error
                raise CommandError(Code.BAD_RIG, f"the old one runs on: {why}") from None
            raise
        asyncio.get_running_loop().call_later(_ANSWER_FIRST_S, self._hand_over, found)
        return {"rig": found.rig_hash, "transducers": len(found.rig.transducers)}

    def _read(self, _: asyncio.Future[NewRig]) -> None:
        self._reading = False

    def _hand_over(self, found: NewRig) -> None:
        if not self.successor.done():
            self.successor.set_result(found)
