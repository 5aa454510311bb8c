"""Twin of the Vaisala PTB330 barometer: commands and messages as lines of ASCII, echo, prompt, polling, streaming.

What a session sets up (FORM, ECHO) is gone after a power cycle; what belongs to the installation stays.
Source: Vaisala PTB330 user's guide M210855EN, pages 71 to 103.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Reply, Sensor
from firmware_sim.firmware.settings import Settings
from firmware_sim.wire import vaisala_form
from firmware_sim.wire.ascii import Lines
from firmware_sim.wire.vaisala_form import Quantity


class Mode(StrEnum):
    """What the barometer is doing; SMODE chooses one of the last three for the time after power-up."""

    BOOT = "BOOT"
    STOP = "STOP"
    RUN = "RUN"
    POLL = "POLL"


class _MistakeError(ValueError):
    """A command with an argument that does not fit."""


BOOT_NS: Final = 1_000_000_000
"""Silence after power-up; our choice, the manual's figure was not at hand."""

RANGE_PA: Final = (50e3, 110e3)
UNKNOWN: Final = "Unknown command."  # our words: the manual's are not known
DEFAULT_FORM: Final = '4.2 P " " U #RN'  # the factory's depends on the configuration

_SECOND_NS: Final = 1_000_000_000
_INTERVALS_S: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_LINE_LIMIT: Final = 240
_VERSION: Final = "PTB330 / 1.01"
_HPA: Final = unit_of("hPa", "pressure")
_CELSIUS: Final = unit_of("C", "temperature")


class VaisalaPtb330:
    """One barometer with one transducer. It measures once a second; readings within a second repeat the same value."""

    silence_framed = False
    addresses: frozenset[int] | None = None

    def __init__(
        self, *, unit: int, bus: Bus, transducers: Mapping[str, Transducer], sensors: Mapping[str, Sensor]
    ) -> None:
        ((name, words),) = transducers.items()
        number = zlib.crc32(name.encode()) % 10_000_000
        self.serial_number = str(words.serial_number or f"A{number:07}")
        # A number other than 0 means RS-485 with several units, which works in POLL mode only (page 101).
        start = Mode.POLL if unit else Mode.STOP
        self.settings = Settings({"SMODE": start.value, "INTV": "1 s", "ADDR": str(unit), "SDELAY": "0"})
        self.mode = start
        self.wakes_at_ns: int | None = None
        self._sensor = sensors[name]
        self._range_pa = words.range or RANGE_PA
        self._line_settings = f"{bus.baud} {bus.format[1]} {bus.format[0]} {bus.format[2]}"
        self._lines = Lines(limit=_LINE_LIMIT)
        self._failed = False
        self._refused = False
        self._power_up(0)
        self._commands: dict[str, Callable[[int, str], bytes]] = {
            "SEND": self._send,
            "R": self._run,
            "S": self._stop,
            "FORM": self._set_form,
            "ECHO": self._set_echo,
            "SMODE": self._set_start,
            "INTV": self._set_interval,
            "ADDR": self._set_address,
            "SDELAY": self._set_delay,
            "OPEN": self._open,
            "CLOSE": self._close,
            "RESET": self._reset,
            "?": self._describe,
            "??": self._describe,
            "VERS": lambda _at_ns, _text: _line(_VERSION),
            "SNUM": lambda _at_ns, _text: _line(self._serial_line()),
            "ERRS": self._errors,
        }

    def _power_up(self, at_ns: int) -> None:
        self._since_ns = at_ns
        self._counter = -1
        self._measured: tuple[float | None, float | None] = (None, None)
        self._echo = True
        self._form_text = DEFAULT_FORM
        self._form = vaisala_form.parse(DEFAULT_FORM)
        self._lines.clear()

    def fail(self, *, failed: bool = True) -> None:
        """Break the transducer (stars for its values and ERR 1), or mend it."""
        self._failed = failed
        self._counter = -1

    def refuse(self, code: int | None) -> None:
        """Answer every command with the text for an unknown one; the code itself has no meaning here."""
        self._refused = code is not None

    def reboot(self, at_ns: int) -> None:
        """Lose power and come back with echo on and the default format."""
        self._power_up(at_ns)
        self.settings.restore()
        self.mode = Mode.BOOT
        self.wakes_at_ns = at_ns + BOOT_NS

    def wake(self, at_ns: int) -> Sequence[Reply]:
        """End booting, or send the next message of a continuous output."""
        if self.wakes_at_ns is None or at_ns < self.wakes_at_ns:
            return ()
        if self.mode is Mode.RUN:
            self.wakes_at_ns = at_ns + self._interval_ns()
            return (Reply(data=self._message(at_ns)),)
        self.mode = Mode(self.settings["SMODE"])
        self.wakes_at_ns = at_ns + self._interval_ns() if self.mode is Mode.RUN else None
        return (Reply(data=b"\r\n>"),) if self.mode is Mode.STOP else ()

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Take characters as they come: echo them, answer a command when its CR is there."""
        replies = list(self.wake(at_ns))
        for piece, line in self._lines.feed(data):
            if self.mode is Mode.BOOT:  # it hears nothing, and RESET may stand in the middle of what came
                self._lines.clear()
                break
            if self.mode is Mode.STOP and self._echo:
                replies.append(Reply(data=piece.replace(b"\r", b"\r\n")))
            answer = b"" if line is None else self._answer(at_ns, line)
            if answer:
                replies.append(Reply(data=answer, delay_ns=int(self.settings["SDELAY"]) * 10_000_000))
        return replies

    def _answer(self, at_ns: int, line: str) -> bytes:
        """Return what a command line brings, with the prompt; nothing when it was not for this barometer."""
        name, _, argument = line.strip().partition(" ")
        name, argument = name.upper(), argument.strip()
        if not self._listens(name, argument):
            return b""
        answer = b""
        if name:
            answer = _line(UNKNOWN) if self._refused else self._do(at_ns, name, argument)
        return answer + b">" if self.mode is Mode.STOP and self._echo else answer

    def _listens(self, name: str, argument: str) -> bool:
        if self.mode is Mode.RUN:
            return name == "S"
        addressed = argument == self.settings["ADDR"]
        if self.mode is Mode.POLL:
            return name == "??" or (name in {"SEND", "OPEN"} and addressed)
        return name != "SEND" or not argument or addressed

    def _do(self, at_ns: int, name: str, argument: str) -> bytes:
        command = self._commands.get(name)
        if command is None:
            return _line(UNKNOWN)
        try:
            return command(at_ns, argument)
        except _MistakeError:
            return _line(UNKNOWN)

    # Measurements

    def _measure(self, at_ns: int) -> tuple[float | None, float | None]:
        """Return pressure (hPa) and temperature (C) of the current second, None where there is none."""
        counter = (at_ns - self._since_ns) // _SECOND_NS
        if counter != self._counter:
            pressure_pa, temperature_k = self._sensor.read(at_ns)
            low, high = self._range_pa
            pressure = _HPA.from_si(pressure_pa) if low <= pressure_pa <= high and not self._failed else None
            self._counter = counter
            self._measured = (pressure, None if self._failed else _CELSIUS.from_si(temperature_k))
        return self._measured

    def _message(self, at_ns: int) -> bytes:
        pressure, temperature = self._measure(at_ns)
        average = Quantity(value=pressure, unit="hPa", length=(4, 2))
        fields = {
            "ADDR": f"{self.settings['ADDR']:>3}",
            "ERR": f"{pressure is None:<3d}",  # a digit for each of up to three transducers, filled with spaces
            "MCTR": str(self._counter),
            "PSTAB": "OK",
            "SN": self.serial_number,
        }
        quantities = {"P": average, "P1": average, "TP1": Quantity(value=temperature, unit="'C", length=(3, 2))}
        return vaisala_form.render(self._form, quantities, fields)

    def _send(self, at_ns: int, _argument: str) -> bytes:
        return self._message(at_ns)

    def _run(self, at_ns: int, _argument: str) -> bytes:
        self.mode = Mode.RUN
        self.wakes_at_ns = at_ns + self._interval_ns()
        return self._message(at_ns)

    def _stop(self, _at_ns: int, _argument: str) -> bytes:
        self.mode = Mode.STOP
        self.wakes_at_ns = None
        return b""

    # Settings

    def _interval_ns(self) -> int:
        number, unit = self.settings["INTV"].split()
        return max(int(number) * _INTERVALS_S[unit], 1) * _SECOND_NS  # 0 is as fast as it measures

    def _set_form(self, _at_ns: int, argument: str) -> bytes:
        if not argument:
            return _line(self._form_line())
        text = DEFAULT_FORM if argument == "/" else argument
        try:
            self._form = vaisala_form.parse(text)
        except vaisala_form.FormError as error:
            raise _MistakeError from error
        self._form_text = text
        return _line("OK")

    def _set_echo(self, _at_ns: int, argument: str) -> bytes:
        if argument:
            self._echo = _choice(argument.upper(), ("OFF", "ON")) == "ON"
        return _line(self._echo_line())

    def _set_start(self, _at_ns: int, argument: str) -> bytes:
        if argument:
            self.settings.put("SMODE", _choice(argument.upper(), (Mode.STOP, Mode.RUN, Mode.POLL)))
        return _line(self._start_line())

    def _set_interval(self, _at_ns: int, argument: str) -> bytes:
        number, _, unit = argument.partition(" ")
        if number:
            chosen = _choice(unit.strip().lower(), tuple(_INTERVALS_S)) if unit else self.settings["INTV"].split()[1]
            self.settings.put("INTV", f"{_number(number, 255)} {chosen}")
        return _line(self._interval_line())

    def _set_address(self, _at_ns: int, argument: str) -> bytes:
        if argument:
            self.settings.put("ADDR", str(_number(argument, 255)))
        return _line(self._address_line())

    def _set_delay(self, _at_ns: int, argument: str) -> bytes:
        if argument:
            self.settings.put("SDELAY", str(_number(argument, 254)))
        return _line(_setting("Serial delay", self.settings["SDELAY"]))  # label: our words

    def _open(self, _at_ns: int, argument: str) -> bytes:
        if argument != self.settings["ADDR"]:
            return b""
        self.mode = Mode.STOP
        return _line(f"PTB330: {self.settings['ADDR']} line opened for operator commands")

    def _close(self, _at_ns: int, _argument: str) -> bytes:
        if self.settings["SMODE"] == Mode.POLL:
            self.mode = Mode.POLL
        return _line("line closed")

    def _reset(self, at_ns: int, _argument: str) -> bytes:
        self.reboot(at_ns)
        return b""

    # Descriptions

    def _describe(self, _at_ns: int, _argument: str) -> bytes:
        return _line(
            _VERSION,
            self._serial_line(),
            _setting("Batch number", "B8901234"),
            self._form_line(),
            self._start_line(),
            _setting("Baud P D S", self._line_settings),
            self._interval_line(),
            self._address_line(),
            self._echo_line(),
        )

    def _errors(self, at_ns: int, _argument: str) -> bytes:
        return _line("No errors" if self._measure(at_ns)[0] is not None else "P1 error")  # our words

    def _serial_line(self) -> str:
        return _setting("Serial number", self.serial_number)

    def _form_line(self) -> str:
        return _setting("Output format", self._form_text)

    def _start_line(self) -> str:
        return _setting("Start mode", self.settings["SMODE"])

    def _interval_line(self) -> str:
        return _setting("Output interval", self.settings["INTV"])

    def _address_line(self) -> str:
        return _setting("Address", self.settings["ADDR"])

    def _echo_line(self) -> str:
        return _setting("Echo", "ON" if self._echo else "OFF")


def _setting(label: str, value: str | int) -> str:
    return f"{label:<15}: {value}"


def _line(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("ascii", "replace")


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise _MistakeError
    return text


def _number(text: str, highest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= highest):
        raise _MistakeError
    return int(text)
