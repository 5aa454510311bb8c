"""The pair of order 5 and 4 on equations with closed forms."""

import numpy as np
import pytest

from firmware_sim.physics.steps import next_span_s, step


def swing(_after_s, state):
    return np.array([state[1], -state[0]])


def swung(span_s):
    start = np.array([1.0, 0.0])
    done = step(swing, start, swing(0, start), span_s)
    return done, np.array([np.cos(span_s), -np.sin(span_s)])


def test_a_step_of_half_the_length_has_a_sixty_fourth_of_the_error():
    errors = [np.abs(done.last - true).max() for done, true in (swung(0.4), swung(0.2), swung(0.1))]
    assert errors[0] / errors[1] == pytest.approx(64, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(64, rel=0.1)


def test_the_estimate_is_more_than_the_error_and_of_order_five():
    estimates = []
    for span_s in (0.4, 0.2):
        done, true = swung(span_s)
        estimates.append(np.abs(done.error).max())
        assert np.abs(done.last - true).max() < estimates[-1] < 1e-4
    assert estimates[0] / estimates[1] == pytest.approx(32, rel=0.2)


def test_it_knows_the_change_at_the_end_and_the_time():
    done = step(lambda after_s, _: np.array([after_s**4]), np.array([0.0]), np.array([0.0]), 2.0)
    assert done.last == pytest.approx([2.0**5 / 5])
    assert done.change == pytest.approx([16.0])


def test_the_next_span_follows_the_error_within_limits():
    assert next_span_s(10.0, 0.0) == next_span_s(10.0, 1e-9) == 50.0
    assert next_span_s(10.0, 1.0) == pytest.approx(9.0)
    assert next_span_s(10.0, 32.0) == pytest.approx(4.5)
    assert next_span_s(10.0, float("inf")) == 2.0
