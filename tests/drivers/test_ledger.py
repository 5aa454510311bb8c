"""The ledger against every history that could have brought what it heard."""

from collections import Counter
from collections.abc import Iterator
from copy import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.exchange import Request
from drivers.ledger import Ledger, Verdict
from tests.drivers.scripted_line import fences, question, refuse, reply

A, B = question(address=0x100), question(address=0x200)  # answers of one form: only the order tells them apart
F, G = fences()
QUESTIONS = {"A": A, "B": B, "F": F, "G": G}
FRAMES = {"v": reply(A, 1), "w": reply(A, 2), "f": reply(F), "g": reply(G), "x": refuse(A.frame)}
SOMEBODY = 0


def fits(request: Request, frame: bytes) -> bool:
    return request.measure(frame, 0) == len(frame)


class Histories:
    """Brute force: all histories of a device that answers in order, leaves out answers, and repeats the newest.

    In order: the questions of the frames never go backwards. Repeated: frames of one question are equal. So all that a
    history leaves for the future is which question its last frame answered: `ends` has that number for each history
    that is possible. Number 0 is a question of somebody before us, whose answer is a value of the form of A's.
    """

    def __init__(self) -> None:
        self.asked: tuple[Request, ...] = ()
        self.ends = {SOMEBODY}
        self.last = b""

    def hear(self, frame: bytes) -> bool:
        """Continue each history in every way; say whether all agree on the newest question's first answer."""
        repeated = {number for number in self.ends if number and frame == self.last}
        theirs = self.ends & {SOMEBODY} if fits(A, frame) and not frame[1] & 0x80 else set()
        next_one = min(self.ends) + 1
        ours = {number for number, asked in enumerate(self.asked, 1) if number >= next_one and fits(asked, frame)}
        self.ends, self.last = repeated | theirs | ours, frame
        return self.ends == {len(self.asked)} and not repeated


class Play:
    """A ledger beside all histories; a word of letters is a sequence of questions (capitals) and frames."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.histories = Histories()
        self.verdict: Verdict | None = None

    def copy(self) -> "Play":
        play = copy(self)
        play.ledger, play.histories = copy(self.ledger), copy(self.histories)
        play.ledger._owed = [copy(owed) for owed in self.ledger._owed]
        return play

    def may(self, letter: str) -> bool:
        """Say whether a bus would do that: it puts questions of the driver only where they are settled."""
        return letter not in "AB" or self.ledger.settled(QUESTIONS[letter])

    def go(self, letter: str) -> bool:
        """Ask or hear; say whether any device could have done so, and if so hold the verdict against all histories."""
        self.verdict = None
        if letter in QUESTIONS:
            self.ledger.asked(QUESTIONS[letter])
            self.histories.asked += (QUESTIONS[letter],)
            return True
        frame = FRAMES[letter]
        known = next((request for request in self.ledger.owed if fits(request, frame)), A)
        self.verdict = self.ledger.heard(frame, known)
        certain = self.histories.hear(frame)
        possible = bool(self.histories.ends)
        assert certain or not possible or self.verdict is not Verdict.PROVEN
        return possible


def every(play: Play, length: int) -> Iterator[Play]:
    """Yield the end of every sequence of that many questions and frames."""
    for letter in "ABFGvwfgx":
        if play.may(letter) and (after := play.copy()).go(letter):
            yield from every(after, length - 1) if length > 1 else (after,)


def test_what_it_calls_proven_is_so_in_every_history_of_every_short_sequence() -> None:
    ends = Counter(play.verdict for play in every(Play(), 6))
    assert ends[Verdict.PROVEN] > 1000
    assert ends[Verdict.LATE] > 1000
    assert ends[Verdict.REPEAT] > 1000


@settings(max_examples=1500, deadline=None)
@given(letters=st.lists(st.sampled_from("ABFGvwfgx"), min_size=7, max_size=40))
def test_what_it_calls_proven_is_so_in_every_history_of_long_sequences(letters: list[str]) -> None:
    play = Play()
    for letter in letters:
        if play.may(letter):
            before = play.copy()
            if not play.go(letter):
                play = before


def test_the_histories_convict_a_ledger_that_trusts_the_newest_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def trusting(ledger: Ledger, frame: bytes, answers: Request) -> Verdict:
        newest = list(ledger.owed)[-1:]
        return Verdict.PROVEN if newest and fits(newest[0], frame) else Verdict.STRAY

    monkeypatch.setattr(Ledger, "heard", trusting)
    with pytest.raises(AssertionError):
        list(every(Play(), 4))


def heard(ledger: Ledger, letters: str) -> list[Verdict]:
    """Play a word and return the verdicts on its frames."""
    verdicts = []
    for letter in letters:
        if letter in QUESTIONS:
            ledger.asked(QUESTIONS[letter])
        else:
            known = next((request for request in ledger.owed if fits(request, FRAMES[letter])), A)
            verdicts.append(ledger.heard(FRAMES[letter], known))
    return verdicts


def test_healthy_turns_are_proven_without_fences_once_the_first_fence_has_answered() -> None:
    assert heard(Ledger(), "FfAvAwBvBw") == [Verdict.PROVEN] * 5


def test_nothing_is_settled_before_a_fence_has_answered() -> None:
    ledger = Ledger()
    assert not ledger.settled(A)
    heard(ledger, "Ff")
    assert ledger.settled(A)


def test_after_a_loss_of_the_line_somebody_else_may_have_asked() -> None:
    ledger = Ledger()
    heard(ledger, "FfAv")
    ledger.reopened()
    assert not ledger.settled(A)
    heard(ledger, "Gg")
    assert ledger.settled(A)


def test_an_unanswered_question_blocks_all_of_its_form_and_no_others() -> None:
    ledger = Ledger()
    heard(ledger, "FfA")
    assert not ledger.settled(A)
    assert not ledger.settled(B)
    assert ledger.settled(G)


def test_a_fence_is_not_the_question_whose_answer_was_heard_last() -> None:
    ledger = Ledger()
    heard(ledger, "Ff")
    assert ledger.fence((F, G)) is G
    heard(ledger, "Gg")
    assert ledger.fence((F, G)) is F


def test_a_unit_that_is_silent_for_days_owes_two_questions() -> None:
    ledger = Ledger()
    heard(ledger, "FfA")
    for _ in range(100_000):
        ledger.asked(ledger.fence((F, G)))
    assert len(list(ledger.owed)) <= 3


def test_a_unit_that_refuses_everything_in_the_same_words_owes_few_and_is_asked_each_fence_again_and_again() -> None:
    ledger = Ledger()
    refusal = refuse(F.frame)
    asked = []
    for _ in range(10_000):
        asked.append(ledger.fence((F, G, A)))
        ledger.asked(asked[-1])
        ledger.heard(refusal, asked[-1])
    assert len(list(ledger.owed)) <= 300
    assert Counter(fence.frame for fence in asked[-1000:]).keys() == {F.frame, G.frame, A.frame}


def test_a_question_made_anew_each_time_is_the_same_question() -> None:
    ledger = Ledger()
    for _ in range(100):
        ledger.asked(question(count=7))
    assert len(list(ledger.owed)) == 1


def proven() -> Ledger:
    ledger = Ledger()
    ledger.asked(F)
    assert ledger.heard(FRAMES["f"], F) is Verdict.PROVEN
    return ledger


def test_a_unit_that_others_asked_needs_a_fence_put_after_that() -> None:
    ledger = proven()
    ledger.overheard()
    assert not ledger.settled(A)
    ledger.asked(G)
    assert ledger.heard(FRAMES["g"], G) is Verdict.PROVEN
    assert ledger.settled(A)


def test_what_comes_after_somebody_elses_question_proves_nothing_and_still_a_fence_is_needed() -> None:
    ledger = proven()
    ledger.asked(A)
    ledger.overheard()
    assert ledger.heard(FRAMES["v"], A) is Verdict.LATE
    assert not ledger.settled(A)


def test_the_answer_to_a_question_that_others_repeat_is_the_wanted_value_but_one_more_may_come() -> None:
    ledger = proven()
    ledger.asked(A)
    ledger.overheard(alike=True)
    assert ledger.heard(FRAMES["v"], A) is Verdict.PROVEN
    assert not ledger.settled(B)


def test_others_who_asked_something_else_too_make_the_repeated_question_doubtful() -> None:
    ledger = proven()
    ledger.overheard()
    ledger.asked(A)
    ledger.overheard(alike=True)
    assert ledger.heard(FRAMES["v"], A) is Verdict.LATE
