"""Looks for transducers on a line of which little is known: every baud, format and unit, in the families' words."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from drivers.bus import Bus
from drivers.exchange import Attempt, Outcome, Request
from drivers.model import Model
from drivers.rig import Bus as BusWords
from drivers.rig import BusKind
from drivers.transport.choose import transport_for
from drivers.transport.transport import MakeTransport
from drivers.wire.ascii_line import LineRequest
from drivers.wire.modbus import READ_HOLDING, foreign_frame, read_registers

_ANSWERED: Final = (Outcome.REPLY, Outcome.EXCEPTION)
_TEXT_KINDS: Final = (BusKind.LINE_OVER_TCP, BusKind.LINE_OVER_UDP)
_NOBODY_THERE: Final = (0x0A, 0x0B)
"""Refusals by which a Modbus TCP gateway says, in place of a unit, that no path leads to it or that it is silent."""
_OPEN_S: Final = 4.0
_REOPEN_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A unit that answered.

    Attributes:
        baud, format: the line setting at which it did.
        model: family that recognised itself, None for a Modbus device of a family that nobody here knows.
        text: who it says it is.
        round_trip_s: from the end of the question to the start of the answer, None when that was not clear.
    """

    baud: int
    format: str
    unit: int
    model: str | None
    text: str
    round_trip_s: float | None


@dataclass(slots=True)
class Setting:
    """One line setting that was tried, and what was heard there beside proper answers.

    Attributes:
        problem: why it could not be tried, empty when it could.
        found: units that answered.
        asked: questions put.
        silent: questions after which no byte came, or a gateway said that nobody answers.
        garbled: what came that was no whole answer to what was asked.
        others: unit that had not been asked -> how many whole frames came from it; None where it cannot be told.
        begun: whether half a line of text may stand in front of the next: what an instrument took for text was a
            question of other families, or of another baud.
    """

    baud: int
    format: str
    problem: str = ""
    found: int = 0
    asked: int = 0
    silent: int = 0
    garbled: list[bytes] = field(default_factory=list)
    others: Counter[int | None] = field(default_factory=Counter)
    begun: bool = True

    def note(self, attempt: Attempt) -> None:
        """Count one question and how it ended."""
        self.asked += 1
        if attempt.outcome is Outcome.TIMEOUT or attempt.code in _NOBODY_THERE:
            self.silent += 1
        elif attempt.outcome is Outcome.FOREIGN:
            self.others[_speaker(attempt.heard)] += 1
        elif attempt.outcome not in (*_ANSWERED, Outcome.LATE) and attempt.heard:
            self.garbled.append(attempt.heard)


async def scan(
    line: BusWords,
    *,
    bauds: Sequence[int],
    formats: Sequence[str],
    units: Sequence[int],
    models: Sequence[Model],
    make_transport: MakeTransport = transport_for,
) -> AsyncIterator[Found | Setting]:
    """Try every setting, and at each ask every unit; yield whoever is found, and each setting when it is done.

    Raises:
        ConnectionError: the port cannot be opened, or is lost on the way.
    """
    opened = False
    for words in settings(line, bauds, formats):
        setting = Setting(words.baud, words.format)
        bus = Bus("scan", words, make_transport=make_transport)
        try:
            async with bus.opened(within_s=_REOPEN_S if opened else _OPEN_S):
                opened = True
                async for found in _hail_all(bus, units, models, setting):
                    setting.found += 1
                    yield found
        except ConnectionError:
            if setting.asked or not opened:
                raise ConnectionError(bus.problem) from None
            setting.problem = bus.problem
        yield setting


def longest_s(
    line: BusWords, *, bauds: Sequence[int], formats: Sequence[str], units: Sequence[int], models: Sequence[Model]
) -> float:
    """Return how long a scan takes when nobody answers, s."""
    questions = sum(len(_questions(words, unit, models)) for words in settings(line, bauds, formats) for unit in units)
    return questions * line.timeout


def settings(line: BusWords, bauds: Sequence[int], formats: Sequence[str]) -> list[BusWords]:
    """Return the line with each baud and format."""
    return [line.model_copy(update={"baud": baud, "format": each}) for baud in bauds for each in formats]


def _questions(words: BusWords, unit: int, models: Sequence[Model]) -> list[tuple[Model | None, Request]]:
    """Return what to ask a unit: first what any Modbus device answers, if only by refusing it, then for each family."""
    questions: list[tuple[Model | None, Request]] = []
    if unit > 0 and words.kind not in _TEXT_KINDS and words.format.startswith("8"):
        questions.append((None, read_registers(unit, READ_HOLDING, 0, 1)))
    for model in models:
        speaks = words.kind in model.kinds and (
            not words.kind.has_line or (words.baud in model.bauds and words.format in model.formats)
        )
        if speaks and model.hail is not None and unit in model.units:
            questions.append((model, model.hail(unit)))
    return questions


async def _hail_all(bus: Bus, units: Sequence[int], models: Sequence[Model], setting: Setting) -> AsyncIterator[Found]:
    """Ask every unit; questions that leave a line of text open come last: other families miss what follows them."""
    answered: set[int] = set()
    for leaves_open in (False, True):
        for unit in units:
            if unit in answered:
                continue
            questions = [each for each in _questions(bus.words, unit, models) if _leaves_open(each[1]) is leaves_open]
            found = await _hail(bus, unit, questions, setting)
            if found is not None:
                answered.add(unit)
                yield found


def _leaves_open(question: Request) -> bool:
    return isinstance(question, LineRequest) and not question.frame.endswith((b"\r", b"\n"))


async def _hail(
    bus: Bus, unit: int, questions: Iterable[tuple[Model | None, Request]], setting: Setting
) -> Found | None:
    """Ask one unit whether it is there and of which family.

    Who is not asked in Modbus again because its one answer was damaged or late is asked once more from the start.
    """
    found, again = await _hail_once(bus, unit, questions, setting)
    if found is None and again:
        found, _ = await _hail_once(bus, unit, questions, setting, again=True)
    return found


async def _hail_once(
    bus: Bus, unit: int, questions: Iterable[tuple[Model | None, Request]], setting: Setting, *, again: bool = False
) -> tuple[Found | None, bool]:
    """Return who answered, and whether an answer in Modbus seems to have been damaged or late.

    To the bus the answer to a question that is asked `again` is doubtful; here it is enough that the unit gives it.
    """
    anybody: Found | None = None
    doubtful = False
    for model, question in questions:
        if model is not None and isinstance(question, LineRequest) == (anybody is not None):
            continue  # who answers Modbus does not speak lines of text, and who does not is not asked in Modbus again
        attempt = await _ask(bus, question, setting)
        frame = attempt.frame or (_answer_in(attempt.heard, question) if again else b"")
        doubtful |= attempt.outcome is Outcome.LATE or (model is None and _is_damaged(attempt))
        if isinstance(question, LineRequest) and attempt.heard and not frame:
            # Half a line of an earlier question may have stood before it.
            attempt = await _ask(bus, question, setting)
            frame = attempt.frame or _answer_in(attempt.heard, question)
        if not frame or attempt.code in _NOBODY_THERE:
            continue
        if model is None:
            anybody = _found(setting, unit, None, "a Modbus device; modbus-map reads it by its registers", attempt)
        elif model.recognise and question.refusal(frame) is None and (text := model.recognise(frame)):
            return _found(setting, unit, model.name, text, attempt), False
    return anybody, doubtful


def _is_damaged(attempt: Attempt) -> bool:
    """Say whether what was heard may have been an answer; to an instrument of text such a question is a bad line."""
    return attempt.outcome in (Outcome.CRC, Outcome.SHORT) and not attempt.heard.isascii()


async def _ask(bus: Bus, question: Request, setting: Setting) -> Attempt:
    if isinstance(question, LineRequest) and setting.begun:
        question = replace(question, frame=b"\r" + question.frame)
    setting.begun = not isinstance(question, LineRequest)
    attempt = await bus.probe(question)
    if attempt.outcome is Outcome.BUS_DOWN:
        raise ConnectionError(bus.problem)
    setting.note(attempt)
    return attempt


def _speaker(heard: bytes) -> int | None:
    """Return the unit of the first whole Modbus frame in what was heard, None when there is none."""
    return next((unit for start, unit in enumerate(heard) if foreign_frame(heard, start)), None)


def _answer_in(heard: bytes, question: Request) -> bytes:
    for start in range(len(heard)):
        length = question.measure(heard, start)
        if length > 0:
            return heard[start : start + length]
    return b""


def _found(setting: Setting, unit: int, model: str | None, text: str, attempt: Attempt) -> Found:
    return Found(
        baud=setting.baud,
        format=setting.format,
        unit=unit,
        model=model,
        text=text,
        round_trip_s=attempt.answered_s - attempt.sent_s if attempt.outcome in _ANSWERED else None,
    )
