"""Broken bytes for every codec: mutated answers for drivers, mutated questions for twins, noise for the framers.

An answer is mutated after the twin gave it, and often sealed with a right checksum again, so that it gets past the
frame and into the decoder. Whatever comes, a driver ends with readings and a twin with answers or silence: no
exception, no hang, no growth.
"""

import gc
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

from drivers import registry
from drivers.exchange import Attempt, Quiet, Request
from drivers.wire.modbus import ProtocolError, foreign_frame, split_tcp
from firmware_sim.wire.crc import crc16
from tests.benchmarks.harness import Check, Table
from tests.drivers.models.asks import Emulated, attempt
from tests.drivers.models.test_against_firmware import FAMILIES, pair

INPUTS: Final = 1_000_000
_SLICE: Final = 10_000
_SLICE_S: Final = 60
_LONGEST: Final = 300
_GROWTH_MIB: Final = 16.0
_PAGE_MIB: Final = os.sysconf("SC_PAGE_SIZE") / 2**20
_T = TypeVar("_T")


def _seal_crc(frame: bytes, random: Random) -> bytes:
    return frame[:-2] + crc16(frame[:-2]).to_bytes(2, random.choice(("little", "big")))


def _seal_telegram(frame: bytes, _: Random) -> bytes:
    return b"%s%03d\r" % (frame[:-4], sum(frame[:-4]) % 256)


_SEALS: Final[dict[str, Callable[[bytes, Random], bytes]]] = {"pfeiffer-telegram": _seal_telegram}


@dataclass(slots=True)
class Mutator:
    """Makes broken bytes of good ones, and now and then of nothing.

    Attributes:
        seal: makes a checksum right again.
    """

    random: Random
    seal: Callable[[bytes, Random], bytes] = _seal_crc
    _seen: list[bytes] = field(default_factory=lambda: [b"\0"])

    def __call__(self, good: bytes) -> bytes:
        random = self.random
        if good and len(self._seen) < 64:
            self._seen.append(good)
        data = bytearray(good)
        for _ in range(random.choice((0, 1, 1, 1, 2, 4))):
            data = self._changed(data)
        broken = bytes(data[:_LONGEST])
        return self.seal(broken, random) if len(broken) > 4 and random.random() < 0.5 else broken

    def _changed(self, data: bytearray) -> bytearray:
        random = self.random
        place = random.randrange(len(data) + 1)
        match random.randrange(8):
            case 0 | 1 if data:
                data[place - 1] ^= 1 << random.randrange(8)
            case 2 if data:
                data[place - 1] = random.randrange(256)
            case 3:
                del data[place : place + random.randrange(1, 4)]
            case 4:
                data[place:place] = random.randbytes(random.randrange(1, 4))
            case 5:
                del data[place:]
            case 6:
                data[place:] = random.choice(self._seen)
            case 7:
                return bytearray(random.randbytes(random.randrange(64)))
            case _:
                data += b"\r"
        return data


class BrokenAnswers:
    """Asks a twin, breaks what it says, and looks for the answer as a bus does."""

    def __init__(self, twin: Emulated, mutate: Mutator) -> None:
        self._twin = twin
        self._mutate = mutate
        self.asked = 0

    async def __call__(self, request: Request) -> Attempt:
        self.asked += 1
        true = await self._twin(request)
        return attempt(request, self._mutate(true.heard), self._twin.now_s)


def fuzz_driver(name: str, inputs: int, seed: int = 1) -> int:
    """Let one driver poll a twin whose answers arrive broken; return how many it got."""
    driver, firmware, _ = pair(name, *FAMILIES[name])
    family, unit = registry.model(name), FAMILIES[name][0]
    ask = BrokenAnswers(Emulated(firmware), Mutator(Random(f"{name}{seed}"), _SEALS.get(name, _seal_crc)))
    while ask.asked < inputs:
        if family.hail and family.recognise and (frame := _ended(ask(family.hail(unit))).frame):
            family.recognise(frame)
        _ended(driver.identify(ask))
        for _ in range(8):
            poll = _ended(driver.poll(ask))
            assert poll.values.shape == poll.reasons.shape == (len(driver.channels),)
    return ask.asked


def fuzz_twin(name: str, inputs: int, seed: int = 1) -> int:
    """Say broken questions to one twin; return how many."""
    driver, firmware, _ = pair(name, *FAMILIES[name])
    random = Random(f"twin {name}{seed}")
    mutate = Mutator(random, _SEALS.get(name, _seal_crc))
    fences = () if isinstance(driver.fences, Quiet) else driver.fences
    questions = [request.frame for request in (*driver.requests, *fences)]
    now_ns = 0
    for number in range(inputs):
        now_ns += random.randrange(1, 50_000_000)
        if firmware.wakes_at_ns is not None and firmware.wakes_at_ns <= now_ns:
            firmware.wake(now_ns)
        said = mutate(random.choice(questions))
        if firmware.silence_framed and not said:
            continue  # silence is no frame
        assert sum(len(reply.data) for reply in firmware.hear(now_ns, said)) < 65_536
        if number % 1000 == 999:
            firmware.reboot(now_ns)
    return inputs


def fuzz_framers(_: str, inputs: int, seed: int = 1) -> int:
    """Let what cuts frames out of streams cut noise; return how many pieces it got."""
    random = Random(seed)
    mutate = Mutator(random)
    good = bytes.fromhex("00010000000b0103083f81b22d41b40000")
    for _ in range(inputs):
        heard = mutate(good)
        try:
            frames, taken = split_tcp(heard)
            assert sum(6 + len(frame) for _, frame in frames) == taken <= len(heard)
        except ProtocolError:
            pass
        assert 0 <= foreign_frame(heard, random.randrange(len(heard) + 1)) <= len(heard)
    return inputs


def codecs() -> dict[str, tuple[Callable[[str, int, int], int], str]]:
    """Return what is fuzzed, by title: who does it, and the family."""
    families = [name for name in registry.names() if name in FAMILIES]
    parties: dict[str, tuple[Callable[[str, int, int], int], str]] = {"Modbus framers": (fuzz_framers, "")}
    parties |= {f"driver {name}": (fuzz_driver, name) for name in families}
    return parties | {f"twin {name}": (fuzz_twin, name) for name in families}


def _ended(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    raise AssertionError("a driver waited for something else than an answer")


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Turn a hang into an error."""

    def hangs(*_: object) -> None:
        raise TimeoutError(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _memory_mib() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MIB


def measure() -> Table:
    """Give each codec a million inputs."""
    rows, growth, troubles = [], 0.0, []
    for title, (fuzz, family) in codecs().items():
        fuzz(family, _SLICE, 0)  # caches and tables are made once
        before_mib, done, trouble = _memory_mib(), 0, ""
        for seed in range(1, INPUTS // _SLICE + 1):
            try:
                with _limited(_SLICE_S):
                    done += fuzz(family, _SLICE, seed)
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                trouble = f"{error!r}, seed {seed}"
                troubles.append(title)
                break
        grown_mib = _memory_mib() - before_mib
        growth = max(growth, grown_mib)
        rows.append((title, f"{done:,}", trouble or "none", f"{grown_mib:+.1f} MiB"))
    return Table(
        conditions=(
            f"{INPUTS:,} inputs a codec: good ones with bits, bytes and pieces changed, cut, doubled or mixed, half of"
            " them with a right checksum again, and plain noise; a twin restarts every thousand."
        ),
        columns=("codec", "inputs", "unhandled errors and hangs", "growth"),
        rows=tuple(rows),
        checks=(
            Check(text="no unhandled error and no hang", met=not troubles),
            Check(text=f"no codec grows by {_GROWTH_MIB:g} MiB", met=growth < _GROWTH_MIB),
        ),
    )
