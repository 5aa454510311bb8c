"""Rig files that nobody would write: said at once, never a traceback."""

from pathlib import Path

import pytest

from drivers.rig_limits import DEEPEST, LARGEST_FILE, parsed
from drivers.rig_source import check_file, check_rig

STATION = '[station]\nid = "s"\ngateway = "g"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 100_000, "nested more than 16 deep"),
        ("a = " + "[" * 100 + "]" * 100, "nested more than 16 deep: station.a.0..."),
        ("a = " + "{a = " * 3000 + "1" + "}" * 3000, "nested more than 16 deep"),
        ("a." * 100_000 + "a = 1", "line 4: nested more than 16 deep"),
        ("[" + "a . " * 100_000 + "a]", "line 4: nested more than 16 deep"),
        ("x = {" + "a." * 100_000 + "a = 1}", "line 4: nested more than 16 deep"),
        ("x = { y = 1, z = {" + "a . " * 100_000 + "a = 1}}", "line 4: nested more than 16 deep"),
        ("[[" + '"a".' * 100_000 + "a]]", "line 4: nested more than 16 deep"),
        ("a = " + "1" * 5000, "a number in it has thousands of digits"),
        ("a = 0x1" + "0" * 16, "station.a: a whole number of more than 64 bits"),
        ("[bus.b]\nbaud = 0x" + "f" * 20_000, "bus.b.baud: a whole number of more than 64 bits"),
    ],
    ids=lambda value: value[:12],
)
def test_what_is_beyond_the_limits_is_said(text, says):
    checked = check_rig(STATION + text, "rig.toml")
    (problem,) = checked.problems
    assert checked.rig is None
    assert problem.message.startswith(f"cannot be a rig file: {says}")


def test_what_is_just_within_is_parsed():
    assert parsed("a = " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))
    assert parsed(".".join("a" * DEEPEST) + " = 1")
    assert parsed("a = [\n  " + "1.5, " * 100 + "\n]"), "a row of decimals is no dotted key"
    assert parsed(f"a = {2**63 - 1}\nb = {-(2**63)}")


@pytest.mark.parametrize(
    "text",
    [
        " " * 200_000,
        "x = [" + ", \t" * 50_000 + " " * 50_000,
        "x = [" + "'," * 50_000,
        "".join(f"[bus.b{n}]\nkind = 'serial'\nport = '/dev/t{n}'\nbaud = 1\n" for n in range(12_000)),
        "".join(
            f"[segment.s{n}]\n[bus.b{n}]\nkind = 'modbus-tcp'\nport = 'h:{n + 1}'\n"
            f"[transducer.t{n}]\nmodel = 'keller-33x'\nbus = 'xb{n}'\nsegment = 'xs{n}'\n"
            for n in range(3000)
        ),
        "[segment.s]\n[bus.b]\nkind = 'modbus-tcp'\nport = 'h:1'\nbaud = 1\n"
        + "".join(
            f"[transducer.t{n}]\nmodel = 'modbus-map'\nbus = 'b'\nsegment = 's'\n"
            f"map.pressure = {{address = {n}, unit = 'Pa'}}\n"
            for n in range(6000)
        ),
        "".join(f"[segment.{'a' * 5000}{n}]\n[[hatch]]\nbetween = ['{'a' * 5000}x{n}', 'b']\n" for n in range(150)),
    ],
    ids=lambda value: value[:12].strip(),
)
def test_however_it_is_written_a_file_is_checked_in_a_time_that_grows_with_its_length(text):
    """It would take minutes: the suite's timeout ends it."""
    check_rig(STATION + text, "rig.toml")


def test_a_file_that_is_too_large_or_endless_is_not_read_to_its_end(tmp_path):
    (tmp_path / "large.toml").write_bytes(b"#" * (LARGEST_FILE + 1))
    for path in (tmp_path / "large.toml", Path("/dev/zero")):
        (problem,) = check_file(path).problems
        assert problem.message == f"larger than {LARGEST_FILE} bytes"
