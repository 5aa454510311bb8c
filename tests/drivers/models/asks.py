"""Two ways to answer a driver without a bus: from a script, and by the emulator's firmware."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.exchange import Attempt, Outcome, Quiet, Request
from drivers.model import Driver
from drivers.rig import Bus, BusKind, Transducer
from drivers.wire.ascii_line import LineRequest
from firmware_sim.firmware.firmware import Firmware

ROUND_TRIP_S = 0.02


def bus(kind: BusKind = BusKind.SERIAL, **words: object) -> Bus:
    return Bus.model_validate({"kind": kind, "port": "/dev/ttyUSB0", **words})


def transducer(model: str, **words: object) -> Transducer:
    return Transducer.model_validate({"model": model, "bus": "b", "segment": "s", **words})


def attempt(request: Request, heard: bytes, now_s: float) -> Attempt:
    """Find the answer in what was heard, as a bus does."""
    frame, outcome, code = b"", Outcome.CRC if heard else Outcome.TIMEOUT, None
    for start in range(len(heard)):
        length = request.measure(heard, start)
        if length > 0:
            frame = heard[start : start + length]
            code = request.refusal(frame)
            outcome = Outcome.REPLY if code is None else Outcome.EXCEPTION
            break
    return Attempt(
        request=request,
        outcome=outcome,
        frame=frame,
        code=code,
        heard=heard,
        sent_s=now_s,
        answered_s=now_s + ROUND_TRIP_S,
    )


@dataclass
class Script:
    """Answers by frame; a frame without an answer is left in silence. One second passes with each question."""

    answers: Mapping[bytes, bytes | Outcome]
    asked: list[bytes] = field(default_factory=list)
    now_s: float = 0.0

    async def __call__(self, request: Request) -> Attempt:
        self.asked.append(request.frame)
        self.now_s += 1.0
        answer = self.answers.get(request.frame, b"")
        if isinstance(answer, Outcome):
            end = self.now_s + ROUND_TRIP_S
            return Attempt(
                request=request, outcome=answer, frame=b"", code=None, heard=b"", sent_s=self.now_s, answered_s=end
            )
        return attempt(request, answer, self.now_s)


@dataclass
class Emulated:
    """Answers from firmware; a second passes with each question."""

    firmware: Firmware
    now_s: float = 0.0

    async def __call__(self, request: Request) -> Attempt:
        self.now_s += 1.0
        heard = self._say(request.frame)
        if isinstance(request, LineRequest) and request.follow and request.prompt in heard:
            heard += self._say(request.follow)
        return attempt(request, heard, self.now_s)

    def _say(self, data: bytes) -> bytes:
        return b"".join(reply.data for reply in self.firmware.hear(int(self.now_s * 1e9), data))


def assert_fences_are_of_their_own_kind(driver: Driver) -> None:
    """Check what `Driver.fences` promises."""
    assert not isinstance(driver.fences, Quiet)
    assert len(driver.fences) >= 2
    for fence in driver.fences:
        others = [other for other in (*driver.requests, *driver.fences) if other is not fence]
        assert not any(fence.confusable(other) or other.confusable(fence) for other in others)
