"""`manovac demo` as a newcomer meets it."""

import importlib.util
import os
import signal
import socket
import sys

import pytest

from drivers.rig_source import load_rig
from hil.demo import _next_free, _story
from tests.commands import BENCH, call, ended_by, of_folder, started

pytestmark = pytest.mark.xdist_group("demo")  # each takes the next free port above 1883


@pytest.fixture
def broker_installed():
    if importlib.util.find_spec("iotcore") is None:
        message = "iotcore is not installed (pip install 'manovac[demo]')"
        if os.environ.get("MANOVAC_NO_SKIPS"):
            pytest.fail(message)
        pytest.skip(message)


def until_first_reading(stream):
    """Return the lines up to the first reading; the test's own timeout is the limit."""
    lines = []
    for line in stream:
        lines.append(line.rstrip("\n"))
        if "first reading" in line:
            return lines
    raise AssertionError("the demo ended before its first reading:\n" + "\n".join(lines))


@pytest.mark.usefixtures("broker_installed")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_shows_what_runs_where_and_ends_with_nothing_left(tmp_path, number):
    with started(tmp_path, "demo") as process:
        lines = until_first_reading(process.stdout)
        assert len(of_folder(tmp_path)) == 3, "demo, emulator and broker"
        code, _, err = ended_by(process, number, times=2)
    assert code == 0
    told = [line for line in err.splitlines() if "undelivered" not in line]  # it may not have been connected yet
    assert told == ["demo ended; nothing is left running"], "a newcomer sees no protocol talk and no warning"
    assert lines[0] == "International Space Station, emulated: 22 segments, 53 transducers on 8 buses"
    assert [line.split()[:2] for line in lines if line.startswith("  ")][8] == ["broker", "mqtt"]
    assert any("/seg/+/pressure/+'" in line for line in lines)
    assert "Ctrl-C ends everything." in lines
    assert lines[-1].endswith(" Pa, good")
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 100
    assert list(tmp_path.iterdir()) == []
    assert of_folder(tmp_path) == []


@pytest.mark.usefixtures("broker_installed")
def test_a_duration_and_another_rig(tmp_path):
    with started(tmp_path, "demo", "--rig", BENCH, "--duration", "2 s", "--seed", "5") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith("Bench, emulated: 3 segments, 6 transducers on 1 bus\n")
    assert out.splitlines()[-1].endswith("2 s are over")
    assert err == "demo ended; nothing is left running\n"


@pytest.mark.usefixtures("broker_installed")
def test_a_port_that_is_taken_is_an_error_when_asked_for_and_passed_over_when_not(tmp_path, capsys):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = call(capsys, "demo", "--mqtt-port", port, "--duration", "1 s")
        assert (code, out) == (1, "")
        assert f"the broker could not take port {port} (" in err
        assert "try another --mqtt-port" in err
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            assert port < _next_free(port, first) < _next_free(port, second), "another demo may be starting there"


@pytest.mark.usefixtures("broker_installed")
def test_another_port_is_advised_only_where_the_port_is_the_trouble(capsys, monkeypatch):
    def start(self):
        raise RuntimeError("no memory")

    monkeypatch.setattr("iotcore.Broker.start", start)
    code, _, err = call(capsys, "demo", "--duration", "1 s")
    assert code == 1
    assert "(no memory)" in err
    assert "try another" not in err


@pytest.mark.usefixtures("broker_installed")
def test_a_reader_that_goes_away_ends_it_without_a_traceback(tmp_path):
    with started(tmp_path, "demo", "--rig", BENCH) as process:
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=30)
        err = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    assert of_folder(tmp_path) == []


def test_without_its_broker_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "iotcore", None)
    code, out, err = call(capsys, "demo")
    assert (code, out) == (1, "")
    assert "pip install 'manovac[demo]'" in err


@pytest.mark.usefixtures("broker_installed")
def test_what_the_emulator_does_not_take_ends_the_demo_and_its_broker(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    rig = tmp_path / "rig.toml"
    rig.write_text(BENCH.read_text() + 'faults = ["lat:cabin_p1"]\n')
    code, out, err = call(capsys, "demo", "--rig", rig)
    assert (code, out) == (2, "")
    assert "did you mean 'late'?" in err
    assert of_folder(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--duration", "5"], '--duration 5: needs a unit: write "5 s" or "5 ms"'),
        (["--duration", "0 s"], "--duration 0 s: must be greater than zero"),
        (["--duration=-5 s"], "--duration -5 s: must be greater than zero"),
        (["--rig", "nope.toml"], "nope.toml: error: no such file"),
        (["--mqtt-port", "99999"], "Invalid value for '--mqtt-port'"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--scenario", "ms09"], "no scenario 'ms09' (a file, or one of: "),
        (["--rig", BENCH, "--scenario", "ms09-hole-2018"], "event 1, crew: no segment 'zvezda' in the rig"),
        (["--what"], "No such option: --what"),
    ],
)
def test_usage_errors(capsys, words, complaint):
    code, out, err = call(capsys, "demo", *words)
    assert (code, out) == (2, "")
    assert complaint in err


def test_a_rig_without_transducers_is_refused(capsys, tmp_path):
    rig = tmp_path / "rig.toml"
    rig.write_text('[station]\nid = "a"\ngateway = "b"\n')
    code, out, err = call(capsys, "demo", "--rig", rig)
    assert (code, out) == (2, "")
    assert "there is nothing to show" in err


@pytest.mark.parametrize(("rig", "spec"), [("iss.toml", "prk@20s,0.8mm"), ("bench.toml", "cabin@20s,0.09mm")])
def test_the_hole_suits_the_air_behind_it(rig, spec):
    story = _story(load_rig(BENCH.with_name(rig)), "")
    assert story.options == ("--leak", spec)
    assert f"a hole of {spec.partition(',')[2].removesuffix('mm')} mm" in story.told


def test_a_scenario_is_played_instead_of_a_hole():
    story = _story(load_rig(BENCH.with_name("iss.toml")), "ms09-hole-2018")
    assert story.options == ("--scenario", "ms09-hole-2018")
    assert "Soyuz MS-09" in story.told
