from hypothesis import given
from hypothesis import strategies as st

from gateway.leak.onsets import Onsets

LENGTHS = st.integers(min_value=1, max_value=700)
KEPT = st.integers(min_value=2, max_value=9)


@given(longest=LENGTHS, kept=KEPT)
def test_certified_weights_ever_given_never_exceed_the_samples_so_far(longest: int, kept: int) -> None:
    onsets = Onsets(longest, kept=kept, certified=True)
    given_so_far = 0.0
    for sample in range(1, 3 * longest):
        given_so_far += onsets.weights[onsets.give_birth()]
        assert given_so_far <= sample * (1 + 1e-12)


@given(longest=LENGTHS, kept=KEPT)
def test_plain_weights_count_the_samples_of_the_window(longest: int, kept: int) -> None:
    onsets = Onsets(longest, kept=kept, certified=False)
    for sample in range(1, 4 * longest):
        onsets.give_birth()
        if sample < onsets.window:
            assert abs(onsets.weights.sum() - sample) < 1e-9
        else:
            assert 0.5 * onsets.window <= onsets.weights.sum() <= 1.5 * onsets.window + kept


@given(longest=LENGTHS, kept=KEPT, samples=st.integers(min_value=1, max_value=2000))
def test_every_moment_of_the_window_has_an_onset_near_it(longest: int, kept: int, samples: int) -> None:
    onsets = Onsets(longest, kept=kept, certified=False)
    for _ in range(samples):
        onsets.give_birth()
    ages = onsets.ages[onsets.weights > 0]
    for age in range(1, min(onsets.window, samples) + 1):
        assert min(abs(ages - age)) <= age / kept


@given(longest=LENGTHS, samples=st.integers(min_value=1, max_value=300))
def test_a_restored_one_goes_on_as_the_first(longest: int, samples: int) -> None:
    first, second = (Onsets(longest, kept=4, certified=False) for _ in range(2))
    for _ in range(samples):
        first.give_birth()
    second.restore(first.state())
    for _ in range(20):
        assert first.give_birth() == second.give_birth()
    assert first.state() == second.state()
