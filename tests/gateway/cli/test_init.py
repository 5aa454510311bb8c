"""`manovac init` gives a rig file to begin with, and harms none that is there."""

from tests.commands import BENCH, call


def test_it_prints_or_writes_the_bench_that_ships(capsys, tmp_path):
    assert call(capsys, "init") == (0, BENCH.read_text(), "")
    code, out, err = call(capsys, "init", tmp_path / "rig.toml")
    assert (code, out) == (0, "")
    assert f"then `manovac check {tmp_path}/rig.toml`" in err
    assert call(capsys, "check", tmp_path / "rig.toml").code == 0


def test_a_file_that_is_there_stays_as_it_is(capsys, tmp_path):
    (tmp_path / "rig.toml").write_text("mine")
    code, out, err = call(capsys, "init", tmp_path / "rig.toml")
    assert (code, out) == (2, "")
    assert "is there already" in err
    assert (tmp_path / "rig.toml").read_text() == "mine"
    assert call(capsys, "init", tmp_path / "no" / "rig.toml").code == 1


def test_an_empty_rig_file_is_told_of_it(capsys, tmp_path):
    (tmp_path / "rig.toml").write_text("")
    assert "manovac init" in call(capsys, "run", tmp_path / "rig.toml").err
