"""Modbus TCP devices that answer as fast as they are asked, in a process of their own, and how fast they are alone.

They are the emulator's, with twins that measure ten times a second instead of each time that they are asked: the
physics of sixty sensing elements takes 280 us.
"""

import asyncio
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final

import orjson

from drivers.precise_loop import precise_event_loop
from drivers.rig import Rig
from drivers.rig_source import load_rig
from firmware_sim.firmware.modbus_map import ModbusMap
from firmware_sim.fleet import Fleet
from firmware_sim.physics.world import World

UNITS: Final = range(1, 9)
VALUES: Final = 60
SERVER: Final = ("-m", "tests.benchmarks.tcp_load")
"""What serves a rig file, for `tests.benchmarks.line.Emulator`."""
_CYCLE_NS: Final = 100_000_000


def load_text(*, units: int = len(UNITS), values: int = VALUES, batch: str = "0 s", poll: str = "1 s") -> str:
    """Return the rig file: so many units on one bus, each in a segment of its own, with so many float32 in a row."""
    lines = ["[station]", 'id = "benchmark"', 'gateway = "g1"', "[mqtt]", f'batch = "{batch}"']
    lines += ["[bus.b1]", 'kind = "modbus-tcp"', 'port = "127.0.0.1:1"', f"window = {min(units, 64)}"]
    for unit in range(1, units + 1):
        lines += [f"[segment.s{unit}]"]
        for pair in range(values // 2):
            lines += [f"[transducer.p{unit}_{pair}]", 'model = "modbus-map"', 'bus = "b1"', f"unit = {unit}"]
            lines += [f'segment = "s{unit}"', 'range = "0..160 kPa"', f'poll = "{poll}"']
            lines += [f'map.pressure = {{ address = {4 * pair}, type = "float32", unit = "Pa" }}']
            lines += [f'map.temperature = {{ address = {4 * pair + 2}, type = "float32", unit = "K" }}']
            lines += ['calibration = { date = 2026-05-01, offset = "12 Pa", gain = 1.00002, uncertainty = "16 Pa" }']
    return "\n".join(lines) + "\n"


def saturated(rig: Rig) -> Rig:
    """Return the rig polled as fast as it goes, which a rig file may not ask for."""
    faster = {name: words.model_copy(update={"poll": 1e-4}) for name, words in rig.transducers.items()}
    return rig.model_copy(update={"transducers": faster})


def alone(port: str, seconds: float) -> float:
    """Ask the units in turn, one question of each in flight and each answer only counted; return answers a second."""
    host, _, number = port.rpartition(":")
    question = struct.Struct(">HHHBBHH")
    size = 9 + 2 * 2 * VALUES
    with socket.create_connection((host, int(number))) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        questions = [question.pack(unit, 0, 6, unit, 3, 0, 2 * VALUES) for unit in UNITS]
        line.sendall(b"".join(questions))
        heard, answers = b"", 0
        begin_s = time.monotonic()
        while time.monotonic() - begin_s < seconds:
            heard += line.recv(65536)
            whole = len(heard) // size
            asked = b"".join(questions[heard[place * size + 6] - 1] for place in range(whole))
            heard = heard[whole * size :]
            answers += whole
            line.sendall(asked)
        return answers / (time.monotonic() - begin_s)


class Sampled(ModbusMap):
    """A `modbus-map` twin that measures ten times a second, whenever it is asked, as real transmitters do."""

    _answers: dict[bytes, bytes | None]
    _until_ns = 0

    def serve(self, at_ns: int, pdu: bytes) -> bytes | None:
        """Answer one PDU; the same one within a cycle alike."""
        if at_ns >= self._until_ns:
            self._answers, self._until_ns = {}, at_ns + _CYCLE_NS
        if pdu not in self._answers:
            self._answers[pdu] = super().serve(at_ns, pdu)
        return self._answers[pdu]


async def _serve(path: Path) -> None:
    rig = load_rig(path)
    fleet = Fleet(rig, world=World(rig), twins={"modbus-map": Sampled})
    async with fleet.serve():
        print(orjson.dumps({"ports": dict(fleet.ports)}).decode(), flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), lambda: os.read(0, 4096) or ended.set())
        await ended.wait()
    print(orjson.dumps({"lines": {}}).decode())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=precise_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1])))
