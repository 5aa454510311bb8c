"""The emulator's time: an event loop whose clock jumps (tests, simulated days), and alarms on whatever loop runs.

Everything in Manovac waits on the running loop's clock. Under `VirtualEventLoop` drivers, gateway and emulator
therefore run thousands of times faster than real time, and always the same way.
"""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from firmware_sim import EmulatorError

_T = TypeVar("_T")
_NS: Final = 1_000_000_000
_OWN_DESCRIPTORS: Final = 1  # the loop's self-pipe: threads and signals wake it through that
_LOOK_EACH: Final = 64


class NothingToWaitForError(EmulatorError, RuntimeError):
    """Every task waits for something that can never happen: no timer, no thread, no ready descriptor is left."""


class _JumpingSelector(selectors.BaseSelector):
    """Polls descriptors without waiting; instead of waiting it moves the clock to the loop's next timer."""

    def __init__(self, limit_s: float) -> None:
        self._real = selectors.DefaultSelector()
        self._limit_ns = limit_s * _NS
        self.now_ns = 0
        self.busy_threads = 0
        self._unseen = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._poll(timeout)
        if ready or self.busy_threads or timeout == 0:
            return ready
        if timeout is None:
            raise NothingToWaitForError(
                f"nothing left to wait for at {self.now_ns / _NS:.6f} virtual s: every task waits for something that "
                "no timer, thread or ready descriptor will bring; look for a lost wake-up, or give the wait a timeout"
            )
        if self.now_ns + timeout * _NS > self._limit_ns:
            limit_s, self._limit_ns = self._limit_ns / _NS, math.inf  # what is cancelled now may still need timers
            raise TimeoutError(f"not done within {limit_s:g} virtual seconds (limit_s)")
        self.now_ns += round(timeout * _NS)
        return ready

    def _poll(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look at the real descriptors; not each time while there are only the loop's own, for a look costs 5 us."""
        self._unseen += 1
        own_only = len(self._real.get_map()) <= _OWN_DESCRIPTORS and not self.busy_threads
        if own_only and timeout is not None and self._unseen < _LOOK_EACH:
            return []
        self._unseen = 0
        # Work in the loop's threads takes no virtual time: the clock stands until they are done.
        return self._real.select(None if self.busy_threads and timeout != 0 else 0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualEventLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time: `time()` starts at 0 and jumps to the next timer when nothing is ready.

    Work in the loop's threads (`asyncio.to_thread`) takes no virtual time. Sockets and pipes are polled, but have no
    virtual time: whoever waits for a real peer with a timeout sees the timeout at once; use memory ports instead.

    Args:
        limit_s: virtual seconds that the loop may run.

    Raises:
        NothingToWaitForError: from `run_until_complete`, where an ordinary loop would hang for ever.
        TimeoutError: from there, at the limit.
    """

    def __init__(self, *, limit_s: float = math.inf) -> None:
        self._jumping = _JumpingSelector(limit_s)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made; whole nanoseconds."""
        return self._jumping.now_ns / _NS

    def run_in_executor(self, executor: Any, func: Callable[..., _T], *args: Any) -> "asyncio.Future[_T]":  # type: ignore[override]
        """Run work in a thread; the clock stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.busy_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - asyncio's
        """Wait for the loop's threads, without a limit: a virtual one would be over at once."""
        self._jumping.busy_threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.busy_threads -= 1

    def _thread_done(self, _: "asyncio.Future[Any]") -> None:
        self._jumping.busy_threads -= 1


def run_virtual(coroutine: Coroutine[Any, Any, _T], *, limit_s: float = 86_400.0) -> _T:
    """Run a coroutine to its end in virtual time and return its result.

    Args:
        coroutine: the main task; tasks that it leaves behind are cancelled.
        limit_s: virtual seconds after which it is given up.

    Raises:
        TimeoutError: it did not end within the limit.
        NothingToWaitForError: it waits for something that cannot happen.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualEventLoop(limit_s=limit_s)) as runner:
        return runner.run(coroutine)


def now_ns(loop: asyncio.AbstractEventLoop) -> int:
    """Return a loop's time in whole ns."""
    return round(loop.time() * _NS)


class EmulatorClock:
    """The emulator's time: ns since its start; 0 before. It follows the running loop's clock, at a speed, or stands.

    Whoever waits for it uses an `Alarm`: those follow when it is paused, changes its speed or is put elsewhere.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._since_ns = 0  # on the loop's clock; at that moment
        self._from_ns = 0  # it was so late here
        self._speed = 1.0
        self._rate = 1.0
        self._stepping = False
        self._alarms: list[Alarm] = []

    @property
    def speed(self) -> float:
        """Emulated seconds in a second of the loop while it is not paused."""
        return self._speed

    @property
    def paused(self) -> bool:
        """Whether time stands still."""
        return not self._rate

    def start(self) -> None:
        """Begin to count, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._since_ns = now_ns(self._loop)

    def now_ns(self) -> int:
        """Return the time since the start."""
        if self._loop is None:
            return 0
        passed_ns = now_ns(self._loop) - self._since_ns
        return self._from_ns + (passed_ns if self._rate == 1.0 else round(passed_ns * self._rate))

    def pause(self) -> None:
        """Let time stand still, until `resume` or in `step`.

        Raises:
            EmulatorError: before `start`, or in the middle of a step; so also the next three.
        """
        self._must_be_free()
        self._go_on(self.now_ns(), 0.0)

    def resume(self) -> None:
        """Let time go on."""
        self._must_be_free()
        self._go_on(self.now_ns(), self._speed)

    def set_speed(self, speed: float) -> None:
        """Let time pass so many times as fast as the loop's; a paused clock stays so, and has the speed later."""
        self._must_be_free()
        now_ns = self.now_ns()
        self._speed = speed
        self._go_on(now_ns, speed if self._rate else 0.0)

    def put(self, at_ns: int) -> None:
        """Let it be that time, past or future, and go on from there; nothing rings for what is left out."""
        self._must_be_free()
        self._go_on(at_ns, self._rate)

    async def step(self, span_ns: int) -> None:
        """Pause, then let that much time pass at once: each alarm in it rings at its time, one after another."""
        self.pause()
        self._stepping = True
        try:
            await _others()  # what clients have sent by now comes first
            end_ns = self._from_ns + span_ns
            while (alarm := self._next_alarm(end_ns)) is not None:
                self._from_ns = max(self._from_ns, alarm.due_ns or 0)
                alarm.fire()
                await _others()
            self._from_ns = end_ns
        finally:
            self._stepping = False

    def attach(self, alarm: "Alarm") -> None:
        """Let an alarm follow this clock for good."""
        self._alarms.append(alarm)

    def call_at(self, at_ns: int, callback: Callable[[], object]) -> asyncio.TimerHandle | None:
        """Call back at that time if the clock goes on as it does; None while it is paused.

        Raises:
            EmulatorError: before `start`.
        """
        loop = self._started()
        if not self._rate:
            return None
        if self._rate == 1.0:
            return loop.call_at((self._since_ns - self._from_ns + at_ns) / _NS, callback)
        return loop.call_at((self._since_ns + (at_ns - self._from_ns) / self._rate) / _NS, callback)

    def _go_on(self, from_ns: int, rate: float) -> None:
        self._from_ns, self._since_ns, self._rate = from_ns, now_ns(self._started()), rate
        for alarm in self._alarms:
            alarm.wind()

    def _next_alarm(self, end_ns: int) -> "Alarm | None":
        due = [alarm for alarm in self._alarms if alarm.due_ns is not None and alarm.due_ns <= end_ns]
        return min(due, key=lambda alarm: alarm.due_ns or 0, default=None)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise EmulatorError("the emulator's clock has not been started: await fleet.start() first")
        return self._loop

    def _must_be_free(self) -> None:
        self._started()
        if self._stepping:
            raise EmulatorError("a step is under way: wait until it has been answered")


async def _others() -> None:
    """Let others run: one turn of the loop finds what has come, the next one handles it."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class Alarm:
    """One timer that can be set again: calls `ring` with the time it is.

    Attributes:
        due_ns: when it will ring, None when not.
    """

    def __init__(self, clock: EmulatorClock, ring: Callable[[int], None]) -> None:
        self.due_ns: int | None = None
        self._clock = clock
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        clock.attach(self)

    def set(self, due_ns: int | None) -> None:
        """Ring at that time and no other, with None not at all."""
        if due_ns != self.due_ns:
            self.due_ns = due_ns
            self.wind()

    def wind(self) -> None:
        """Set the timer anew, for the clock does not go as it did."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.due_ns is not None:
            self._timer = self._clock.call_at(self.due_ns, self.fire)

    def fire(self) -> None:
        """Ring."""
        # asyncio fires up to its clock's resolution early; what was due then is due all the same.
        now_ns = max(self._clock.now_ns(), self.due_ns or 0)
        if self._timer is not None:
            self._timer.cancel()
        self.due_ns = self._timer = None
        self._ring(now_ns)
