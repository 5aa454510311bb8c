"""The harness itself, without measuring anything; the benchmarks run by `python -m tests.benchmarks`."""

import re
from pathlib import Path

import pytest

from drivers import registry
from drivers.line_use import line_use
from drivers.rig_source import load_rig
from tests.benchmarks.__main__ import _DOCUMENT, _ELSEWHERE, BENCHMARKS
from tests.benchmarks.fleet_scale import fleet_text
from tests.benchmarks.harness import Check, Table, interleaved, machine, requirements, spread, write
from tests.benchmarks.line import in_virtual_time, rig_file, wire_s
from tests.benchmarks.plot import log_log
from tests.benchmarks.simulated_hour import simulate


def test_contenders_take_turns() -> None:
    order: list[str] = []
    results = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repetitions=2)
    assert order == ["a", "b", "a", "b"]
    assert {name: len(each) for name, each in results.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize(
    ("values", "text"), [([3.0, 1.0, 2.0], "2.0 (1.0..3.0)"), ([2.0, 2.01], "2.0"), ([5.0], "5.0")]
)
def test_spread_is_median_with_lowest_and_highest(values: list[float], text: str) -> None:
    assert spread(values) == text


def test_a_table_names_what_was_met_and_missed() -> None:
    checks = (Check(text="fast", met=True), Check(text="cheap", met=False, found="2", aim="1"))
    table = Table(conditions="Here.", columns=("who", "s"), rows=(("a", "1.0"),), checks=checks)
    assert table.markdown().splitlines() == [
        "Here.",
        "",
        "| who | s   |",
        "| --- | --- |",
        "| a   | 1.0 |",
        "",
        "- met: fast",
        "- MISSED: cheap (measured 2; aim 1)",
    ]


def test_numbers_from_a_busy_machine_say_so() -> None:
    assert "busy" in machine(1000.0)
    assert "busy" not in machine(0.0)


def test_writing_replaces_what_is_between_the_markers(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("before\n<!-- one: measured -->\nold\n<!-- one: end -->\nafter\n")
    write(document, "one", "new")
    write(document, "one", "newer")
    assert document.read_text() == "before\n<!-- one: measured -->\nnewer\n<!-- one: end -->\nafter\n"
    with pytest.raises(ValueError, match="two: measured"):
        write(document, "two", "new")


def test_the_requirements_of_all_benchmarks_are_gathered_with_their_verdicts() -> None:
    tables = {
        name: Table(conditions="Here.", columns=("a",), rows=(("1",),), checks=(Check(text=f"of {name}", met=met),))
        for name, met in (("one", True), ("two-b", False))
    }
    text = "".join(
        f"<!-- {name}: measured -->\n{each.markdown()}\n<!-- {name}: end -->\n" for name, each in tables.items()
    )
    *_, one, two = requirements(text).splitlines()
    assert [cell.strip() for cell in one.split("|")[1:-1]] == ["one", "met", "of one"]
    assert [cell.strip() for cell in two.split("|")[1:-1]] == ["two-b", "MISSED", "of two-b"]


def test_a_plot_has_a_point_for_each_size_and_falls_where_cost_falls() -> None:
    svg = log_log({10: [80.0, 70.0, 75.0], 1000: [8.0]}, x="channels", y="cost")
    points = [(float(at), float(level)) for at, level in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)]
    assert len(points) == 2
    assert points[0][0] < points[1][0]
    assert points[0][1] < points[1][1]  # y grows downwards


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_document_has_a_place_and_the_command_for_each_benchmark(name: str) -> None:
    text = _ELSEWHERE.get(name, _DOCUMENT).read_text()
    assert f"<!-- {name}: measured -->\n" in text
    assert f"<!-- {name}: end -->" in text
    assert f"python -m tests.benchmarks {name}\n" in text


@pytest.mark.parametrize("baud", [9600, 19200, 115200])
def test_in_virtual_time_the_line_is_full_silent_where_it_must_be_and_shared_in_turn(baud: int) -> None:
    run = in_virtual_time(baud, 10.0)
    assert 0.98 < run.polls_per_s * wire_s(baud) <= 1.0
    assert run.violations == 0
    assert run.turns <= 1


@pytest.mark.parametrize("kind", ["modbus-tcp", "rtu-over-tcp"])
def test_the_thousand_transducers_fit_their_buses(kind: str) -> None:
    with rig_file(fleet_text(kind)) as path:
        rig = load_rig(path)
    assert (len(rig.buses), len(rig.transducers)) == (40, 1000)
    assert all(use.fraction < 0.8 for use in line_use(rig, registry.model).values())


def test_a_dead_unit_costs_at_most_a_tenth_of_the_healthy_throughput() -> None:
    healthy, dead = (in_virtual_time(19200, 30.0, faults=faults).polls_per_s for faults in ([], ["silence:p3"]))
    assert dead >= 0.9 * healthy


def test_a_simulated_minute_misses_no_poll_of_twelve_units_with_two_channels() -> None:
    good, published, _ = simulate(60.0)
    assert 12 * 2 * 59 <= good <= 12 * 2 * 60
    assert published > good
