"""Small devices and rigs for the emulator's own tests."""

import asyncio

from drivers.rig import Bus, BusKind, Rig
from firmware_sim.firmware.firmware import Reply
from firmware_sim.fleet import Fleet

MS = 1_000_000
S = 1_000_000_000


def bus(baud=19200, form="8N1", kind=BusKind.SERIAL):
    return Bus(kind=kind, port="-", baud=baud, format=form)


def crc(data):
    """CRC-16 of Modbus bit by bit, for comparison with the product's table."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value


def framed(body, order="little"):
    return bytes(body) + crc(body).to_bytes(2, order)


def question(unit, number=0):
    return framed([unit, 3, number])


class FrameDevice:
    """Answers `question(unit, n)` with unit, 3, n and `payload`; hears frames."""

    silence_framed = True
    addresses = None
    wakes_at_ns = None

    def __init__(self, unit, *, delay_ns=0, payload=b"\x11\x22\x33\x44"):
        self.unit = unit
        self.delay_ns = delay_ns
        self.payload = payload
        self.heard = []
        self.reboots = []
        self.code = None

    def hear(self, at_ns, data):
        self.heard.append((at_ns, data))
        if data[0] != self.unit or len(data) != 5 or framed(data[:-2]) != data:
            return ()
        return [Reply(data=self.answer(data[2]), delay_ns=self.delay_ns)]

    def answer(self, number):
        if self.code is not None:
            return framed([self.unit, 0x83, self.code])
        return framed([self.unit, 3, number, *self.payload])

    def wake(self, at_ns):
        raise AssertionError("never asked for")

    def reboot(self, at_ns):
        self.reboots.append(at_ns)

    def refuse(self, code):
        self.code = code


class TextDevice:
    """Answers "?<digit>CR" with the address and that digit; hears characters."""

    silence_framed = False
    addresses = None
    wakes_at_ns = None

    def __init__(self, unit=1):
        self.unit = unit
        self.heard = []
        self._so_far = b""

    def hear(self, at_ns, data):
        self.heard.append((at_ns, data))
        self._so_far += data
        if not self._so_far.endswith((b"\r", b"\r\n")):
            return ()
        asked, self._so_far = self._so_far.rstrip()[-2:], b""
        if not asked.startswith(b"?"):
            return ()
        return [Reply(data=b"*00%02d" % self.unit + asked[1:] + b".5\r\n")]

    def wake(self, at_ns):
        raise AssertionError("never asked for")

    def reboot(self, at_ns):
        self._so_far = b""

    def refuse(self, code):
        raise AssertionError("knows no refusal")


class Steady:
    """A world in which each sensor feels the pressure of its own number of kPa and counts its readings."""

    def __init__(self):
        self.reads = 0

    def sensor(self, transducer_id):
        return self

    def read(self, at_ns):
        self.reads += 1
        return 100_000.0 + self.reads, 295.15


def rig(*, kind="serial", units=(1,), seed=1, faults=(), baud=19200, model="modbus-map", **more):
    """One bus "b" with transducers "p<unit>"; a Modbus unit has its pressure in Pa as float32 in registers 0 and 1."""
    extra = {"map": {"pressure": {"address": 0, "unit": "Pa"}}} if model == "modbus-map" else {}
    return Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi"},
            "segment": {"s": {}},
            "bus": {"b": {"kind": kind, "port": "-", "baud": baud, **more}},
            "transducer": {
                f"p{unit}": {"model": model, "bus": "b", "unit": unit, "segment": "s", **extra} for unit in units
            },
            "emulator": {"seed": seed, "faults": list(faults)},
        }
    )


READ = (3, 0, 0, 0, 2)


def rtu(unit):
    return framed([unit, *READ])


def mbap(unit, transaction, pdu=bytes(READ)):
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu


async def until(condition):
    """Wait for something that only the operating system can report."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


class Client:
    """A memory client that keeps what it receives, with times."""

    def __init__(self, fleet, name="b"):
        self.fleet = fleet
        self.received = []
        self.losses = 0
        self.write = fleet.memory[name].connect(self._receive, self._lost)

    def _receive(self, data):
        self.received.append((self.fleet.now_ns(), data))

    def _lost(self):
        self.losses += 1

    @property
    def bytes(self):
        return b"".join(data for _, data in self.received)

    async def ask(self, request, wait_s=0.05):
        """Send, wait, and return all that came meanwhile."""
        self.received.clear()
        self.write(request)
        await asyncio.sleep(wait_s)
        return self.bytes


def fleet(words, **more):
    return Fleet(words, world=Steady(), **more)
