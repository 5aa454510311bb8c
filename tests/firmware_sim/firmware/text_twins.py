"""What every twin that is asked in text must bear: anything at all, and in any pieces."""

from hypothesis import strategies as st

MS = 1_000_000


def heard(*commands):
    """Return a strategy for what a device may hear: its commands whole, cut and changed, and noise."""
    known = st.sampled_from(commands)
    cut = st.builds(lambda command, at: command[:at], known, st.integers(0, 20))
    changed = st.builds(
        lambda command, at, byte: command[:at] + bytes((byte,)) + command[at + 1 :],
        known,
        st.integers(0, 20),
        st.integers(0, 255),
    )
    return st.lists(st.one_of(st.binary(max_size=40), known, cut, changed), max_size=12)


def said(twin, pieces):
    """Let a twin hear the pieces a second apart; yield all that it says."""
    for at, data in enumerate(pieces):
        for reply in (*twin.hear(at * 1000 * MS, data), *twin.wake(at * 1000 * MS)):
            assert reply.delay_ns >= 0
            yield reply.data
