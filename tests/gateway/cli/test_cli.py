"""The command line finds commands without loading them, and ends every mistake with a sentence and an exit code."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
import typer

from drivers.rig_problems import Problem, RigError, Severity
from gateway import cli
from tests.commands import BENCH


def run(capsys, *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(args))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def offer(monkeypatch, function, name: str = "extra") -> None:
    """Let another package offer a command, as an entry point that loads to `function`."""

    class Entry:
        dist = None
        value = "somewhere:function"

        def load(self):
            return function

    entry = Entry()
    entry.name = name
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry] if group == "manovac.commands" else [])


def test_help_lists_every_command_with_its_line(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    listed = [line.split()[0] for line in out.partition("Commands:")[2].strip().splitlines()]
    first = ["demo", "run", "emulate", "sim", "init", "check", "schema", "models", "ports", "scan", "read", "leak"]
    assert listed[: len(first)] == first
    assert "..." not in out.partition("Commands:")[2]


def test_help_loads_no_command_and_no_heavy_library():
    code = (
        "import sys; from gateway.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pydantic', 'rich', 'serial', 'pymodbus', 'aiomqtt', 'asyncio', 'drivers', 'firmware_sim'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_an_unknown_command_is_a_usage_error_with_the_nearest_one(capsys):
    code, out, err = run(capsys, "chekc")
    assert (code, out) == (2, "")
    assert "Did you mean 'check'?" in err


def test_version_names_manovac_python_and_libraries(capsys):
    code, out, _ = run(capsys, "--version")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert names[:2] == ["manovac", "python"]
    assert {"pymodbus", "pyserial", "aiomqtt", "numpy", "pydantic"} <= set(names)
    assert "not installed" not in out


def test_a_command_of_another_package_gets_its_options_untouched(capsys, monkeypatch):
    def extra(rig: str, *, fault: list[str] = typer.Option([]), quick: bool = False) -> None:  # noqa: B008
        typer.echo(f"{rig} {fault} {quick}")

    offer(monkeypatch, extra)
    assert run(capsys, "extra", "--fault", "a", "x.toml", "--fault=b", "--quick")[:2] == (0, "x.toml ['a', 'b'] True\n")
    code, out, _ = run(capsys, "extra", "--help")
    assert code == 0
    assert "--fault" in out
    assert "manovac extra" in out
    code, _, err = run(capsys, "extra")
    assert code == 2
    assert "Missing argument" in err


def test_a_command_that_cannot_be_loaded_says_what_is_missing(capsys, monkeypatch):
    missing = EntryPoint(name="bench", value="no_such_module:f", group=cli.GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda group: [missing])
    code, out, err = run(capsys, "bench")
    assert (code, out) == (1, "")
    assert "no_such_module" in err


def test_errors_end_with_their_code_and_without_a_traceback(capsys, monkeypatch):
    problem = Problem(
        severity=Severity.ERROR, file="x.toml", line=0, column=0, width=0, message="bad", advice="do", source=""
    )
    for error, code, text in (
        (RigError([problem]), 2, "x.toml: error: bad"),
        (cli.CommandError("the broker is gone"), 1, "the broker is gone"),
        (cli.CommandError("too high", cli.CHECK_FAILED), 3, "too high"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Exit(3), 3, ""),
    ):

        def fail(error=error) -> None:
            raise error

        offer(monkeypatch, lambda fail=fail: fail())
        got, out, err = run(capsys, "extra")
        assert (got, out) == (code, "")
        assert text in err
        assert "Traceback" not in err


def test_a_broken_pipe_ends_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", "from gateway.cli import main; main(['schema'])"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("words", [["models"], ["run", str(BENCH), "--once"]])
def test_a_full_disk_behind_the_output_is_said_in_one_line(words):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - no path of ours
        done = subprocess.run(
            [sys.executable, "-c", f"from gateway.cli import main; main({words!r})"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "manovac: cannot write the output: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [["read", "cabin_p1", str(BENCH), "--emulated"], ["emulate", str(BENCH)]],
)
def test_nor_does_a_broken_pipe_leave_a_word_behind_a_command_that_opens_lines(words):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", f"from gateway.cli import main; main({words!r})"],
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 1
    assert "pipe" not in done.stderr.lower()


def test_packages_from_two_installations_are_refused(tmp_path, capsys, monkeypatch):
    real = cli.find_spec

    def shadowed(name):
        return SimpleNamespace(submodule_search_locations=[str(tmp_path / "hil")]) if name == "hil" else real(name)

    monkeypatch.setattr(cli, "find_spec", shadowed)
    code, _, err = run(capsys, "--version")
    assert code == 1
    assert str(tmp_path) in err
    assert "one installation" in err
