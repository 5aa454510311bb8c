"""`manovac leak plan` as a tired engineer and a script meet it."""

import json

import pytest

from tests.commands import BENCH, call

ISS = BENCH.with_name("iss.toml")


def test_one_body_is_told_step_by_step(capsys):
    code, out, err = call(capsys, "leak", "plan", ISS, "--in", "prk")
    assert (code, err) == (0, "")
    assert out == (
        "International Space Station: 1 kg/day lost, transducers of grade C, air temperature known to 50 mK,"
        " 15 min a hatch; wrong in at most 1 % of searches.\n"
        "Closed already: prk--zvezda, tranquility--beam.\n"
        "\n"
        "One hatch at a time:\n"
        "1. Close progress--prk (15 min), wait about 2 min.\n"
        "    95%  it falls in prk: the leak is there\n"
        "     5%  it falls in progress: the leak is there\n"
        "\n"
        "Expected until a segment is named, from now:\n"
        "  one hatch at a time, this plan  17 min\n"
    )


def test_bodies_that_are_apart_are_watched_first(capsys):
    code, out, _ = call(capsys, "leak", "plan", ISS, "--depth", "1")
    assert code == 0
    assert "3 air bodies are apart. Close nothing yet" in out
    assert "it falls in beam: the leak is there" in out
    assert "1. Close " in out
    assert "2. Close " not in out


def test_hatches_said_open_or_closed_change_the_bodies(capsys):
    words = ("leak", "plan", ISS, "--json")
    shut = json.loads(call(capsys, *words, "--closed", "harmony--destiny").out)
    open_ = json.loads(call(capsys, *words, "--open", "prk--zvezda", "--open", "tranquility--beam").out)
    assert len(shut["bodies"]) == 4
    assert shut["next_hatch"] is None
    assert shut["watch_s"] > 0
    assert len(open_["bodies"]) == 1
    assert open_["next_hatch"] == open_["bodies"][0]["step"]["hatch"] == "prk--zvezda"
    assert open_["closed"] == []


def test_a_hatch_of_which_nothing_is_known_counts_as_closed_and_is_named(capsys, tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(BENCH.read_text().replace('state = "open"', 'state = "unknown"', 1))
    out = call(capsys, "leak", "plan", path).out
    assert "Taken as closed, since nobody knows: cabin--airlock. Look, and say --open or --closed." in out
    assert "Closed already: airlock--tank." in out
    answer = json.loads(call(capsys, "leak", "plan", path, "--json").out)
    assert (answer["unknown"], len(answer["bodies"])) == (["cabin--airlock"], 3)
    for option in ("--open", "--closed"):
        answer = json.loads(call(capsys, "leak", "plan", path, "--json", option, "cabin--airlock").out)
        assert (answer["unknown"], len(answer["bodies"])) == ([], 2 if option == "--open" else 3)


def test_json_holds_the_whole_tree_of_decisions(capsys):
    answer = json.loads(call(capsys, "leak", "plan", ISS, "--json", "--in", "unity", "--teams", "2").out)
    assert answer["teams"] == 2
    (body,) = answer["bodies"]
    named = []

    def follow(side):
        if side["step"] is None:
            named.extend(side["segments"])
        for below in side["step"]["sides"] if side["step"] else ():
            follow(below)

    follow(body)
    assert sorted(named) == sorted(body["segments"])
    assert body["bound_s"] == body["expected_s"]
    assert [way["expected_s"] for way in answer["ways"]] == sorted(way["expected_s"] for way in answer["ways"])


def test_a_leak_too_small_to_place_says_so(capsys):
    code, out, _ = call(capsys, "leak", "plan", ISS, "--rate", "0.0001 kg/day", "--in", "zvezda")
    assert code == 0
    assert "one hatch at a time, this plan" in out
    assert "over 30 d" in out
    assert "So small a leak cannot be placed like this" in out
    answer = json.loads(call(capsys, "leak", "plan", ISS, "--rate", "0.0001 kg/day", "--in", "zvezda", "--json").out)
    assert answer["expected_s"] is None


def test_a_ring_is_closed_first(capsys, tmp_path):
    path = tmp_path / "ring.toml"
    ring = '[[hatch]]\nbetween = ["tank", "cabin"]\nstate = "open"\n'
    path.write_text(BENCH.read_text().replace('state = "closed"', 'state = "open"') + ring)
    out = call(capsys, "leak", "plan", path).out
    assert "0. Close " in out
    assert "it closes a ring" in out


def test_a_segment_without_a_volume_is_named(capsys, tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(BENCH.read_text().replace('volume = "35 L"\n', ""))
    code, out, err = call(capsys, "leak", "plan", path)
    assert (code, out) == (2, "")
    assert "segment 'airlock' has no volume" in err
    assert "[segment.airlock]" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rate", "1"], '--rate 1: needs a unit: write "1 kg/day"'),
        (["--rate", "-1 kg/day"], "--rate -1 kg/day: must be greater than zero"),
        (["--hatch-time", "0 s"], "--hatch-time 0 s: must be greater than zero"),
        (["--closed", "prk-zvezda"], "--closed prk-zvezda: no such hatch, did you mean 'prk--zvezda'?"),
        (["--open", "mir"], "--open mir: no such hatch; there are: progress--prk, "),
        (["--closed", "unity--quest", "--open", "quest--unity"], "--closed and --open both name unity--quest"),
        (["--in", "prkk"], "--in prkk: no such segment, did you mean 'prk'?"),
        (["--noise", "D"], "--noise D: must be one of A, B, C"),
        (["--air-error", "1 C"], "--air-error 1 C: a difference is meant, in K or mK"),
        (["--error", "60 %"], "--error 60 %: must be greater than zero and below 50%"),
        (["--error", "200"], '--error 200: write a percentage below 50%, such as "1 %"'),
        (["--teams", "0"], "--teams"),
    ],
)
def test_wrong_words_end_with_2_and_say_what_would_do(capsys, words, message):
    code, out, err = call(capsys, "leak", "plan", ISS, *words)
    assert (code, out) == (2, "")
    assert message in err


def test_leak_alone_lists_what_it_can_do(capsys):
    out = call(capsys, "leak", "--help").out
    assert "plan" in out
    assert "..." not in out.partition("Commands:")[2]
    assert "leak" in call(capsys, "--help").out
    assert call(capsys, "leak", "pan").code == 2
