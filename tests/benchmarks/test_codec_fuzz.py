"""A short run of the fuzzing that `python -m tests.benchmarks codec-fuzz` does with a million inputs a codec."""

from random import Random

import pytest

from tests.benchmarks.codec_fuzz import Mutator, codecs


@pytest.mark.parametrize("title", codecs())
def test_no_broken_input_raises(title: str) -> None:
    fuzz, family = codecs()[title]
    assert fuzz(family, 400, 1) >= 400


def test_the_mutator_breaks_most_and_leaves_some() -> None:
    good = bytes.fromhex("01030400640065ba07")
    mutate = Mutator(Random(1))
    broken = [mutate(good) for _ in range(1000)]
    assert 0.05 < sum(each == good for each in broken) / 1000 < 0.4
    assert any(len(each) > len(good) for each in broken)
    assert any(len(each) < len(good) for each in broken)
