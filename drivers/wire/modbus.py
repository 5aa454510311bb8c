"""Modbus: questions, the grammar of their answers, and the frames of serial lines and TCP; the CRC is here too.

An answer begins alike for drivers whatever the bus: unit, then PDU; behind them a serial line has its CRC, TCP nothing.
Requests are built by pymodbus, once for each driver; what happens for each answer is done here (CRC, MBAP header),
because pymodbus' own CRC takes ten times as long for a frame of 60 floats.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.diag_message import ReturnQueryDataRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from drivers.exchange import Request

READ_COILS: Final = 1
READ_DISCRETE: Final = 2
READ_HOLDING: Final = 3
READ_INPUT: Final = 4
WRITE_ONE: Final = 6
WRITE_MANY: Final = 16
MOST_WRITTEN: Final = 123
"""Registers that one write can change (Modbus Application Protocol V1.1b3, 6.12)."""
MOST_REGISTERS: Final = 125
"""Registers that one read can bring (Modbus Application Protocol V1.1b3, 6.3)."""
PAYLOAD_AT: Final = 3
"""Where the registers begin in the answer to a read: after unit, function and byte count."""

_REFUSAL_BIT: Final = 0x80
_REFUSAL_SIZE: Final = 5
_CRC_SIZE: Final = 2
_TRANSACTION_SIZE: Final = 2
_LONGEST_FRAME: Final = 256  # Modbus over serial line V1.02, 2.3
_LONGEST_TCP_LENGTH: Final = 254  # unit and a PDU of 253 bytes
_MBAP: Final = struct.Struct(">HHH")
_READS: Final = {
    READ_COILS: ReadCoilsRequest,
    READ_DISCRETE: ReadDiscreteInputsRequest,
    READ_HOLDING: ReadHoldingRegistersRequest,
    READ_INPUT: ReadInputRegistersRequest,
}
BIT_READS: Final = frozenset({READ_COILS, READ_DISCRETE})
"""Functions that read single bits; the answer has eight in a byte, the first one lowest."""
_ANSWERS: Final = DecodePDU(is_server=False)
_QUESTIONS: Final = DecodePDU(is_server=True)
_SERIAL: Final = FramerRTU(_ANSWERS)
_TCP: Final = FramerSocket(_ANSWERS)


class ProtocolError(ValueError):
    """Bytes on a Modbus TCP connection that are no Modbus; what follows them cannot be trusted either."""


def _crc_shares() -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Tabulate the CRC, which is linear: what each byte of a frame adds to it, and what the preset adds.

    Returns:
        Shares by bytes that follow, counted from the end of the table, and value: shape (256, 256). The preset's share
        by length of the frame: shape (257,).
    """
    values = np.arange(256, dtype=np.uint16)
    for _ in range(8):
        values = np.where(values & 1, (values >> 1) ^ 0xA001, values >> 1).astype(np.uint16)
    step = values
    rows, presets = [], [0xFFFF]
    for _ in range(_LONGEST_FRAME):
        rows.append(values)
        values = (values >> 8) ^ step[values & 0xFF]
        presets.append((presets[-1] >> 8) ^ int(step[presets[-1] & 0xFF]))
    return np.array(rows[::-1]), np.array(presets, dtype=np.uint16)


_SHARES, _PRESETS = _crc_shares()
_STEP: Final[tuple[int, ...]] = tuple(_SHARES[-1].tolist())
_SHORT: Final = 40  # bytes up to which one after the other is faster than all at once
_SHARES_FLAT: Final = _SHARES.ravel()
_ROWS: Final = np.arange(_LONGEST_FRAME, dtype=np.intp) * 256


def crc16(data: bytes) -> int:
    """Return the CRC-16 of Modbus and the KELLER bus (polynomial 0xA001 reflected, preset 0xFFFF).

    Takes at most 256 bytes. Modbus sends the low byte first, the KELLER bus the high byte.
    """
    length = len(data)
    if length <= _SHORT:
        crc = 0xFFFF
        for byte in data:
            crc = (crc >> 8) ^ _STEP[(crc ^ byte) & 0xFF]
        return crc
    places = _ROWS[_LONGEST_FRAME - length :] + np.frombuffer(data, dtype=np.uint8)
    return int(np.bitwise_xor.reduce(_SHARES_FLAT[places])) ^ int(_PRESETS[length])


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Return unit, PDU and CRC: a frame as on a serial line."""
    head = bytes((unit,)) + pdu
    return head + crc16(head).to_bytes(2, "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusRequest:
    """A Modbus question; a `drivers.exchange.Request`.

    Attributes:
        tcp_rest: the question over TCP behind its transaction id: the rest of the MBAP header, then the PDU.
        value_head, refusal_head: how an answer with a value and one with an exception code begin.
    """

    unit: int
    frame: bytes
    tcp_rest: bytes
    value_head: bytes
    refusal_head: bytes
    answer_size: int
    processing_s: float = 0.0

    def measure(self, heard: bytes, start: int) -> int:
        """Return the length of an intact answer at `start`, 0 when there is none, -1 when it could still become one."""
        if heard.startswith(self.value_head, start):
            end = start + self.answer_size
        elif heard.startswith(self.refusal_head, start):
            end = start + _REFUSAL_SIZE
        else:
            begun = heard[start : start + len(self.value_head)]
            return -1 if self.value_head.startswith(begun) or self.refusal_head.startswith(begun) else 0
        if end > len(heard):
            return -1
        return end - start if _intact(heard, start, end) else 0

    def fits(self, answer: bytes) -> bool:
        """Say whether unit and PDU that came over TCP, whole and without a checksum, have the form of an answer."""
        if answer.startswith(self.value_head):
            return len(answer) == self.answer_size - _CRC_SIZE
        return answer.startswith(self.refusal_head) and len(answer) == _REFUSAL_SIZE - _CRC_SIZE

    def refusal(self, frame: bytes) -> int | None:
        """Return the exception code of an intact answer, None when it brings a value."""
        return frame[2] if frame[1] & _REFUSAL_BIT else None

    def confusable(self, other: Request) -> bool:
        """Say whether the other question's value has the same unit, function and byte count: it names nothing else."""
        return (
            isinstance(other, ModbusRequest)
            and self.value_head == other.value_head
            and self.answer_size == other.answer_size
        )


def read_registers(unit: int, function: int, address: int, count: int) -> ModbusRequest:
    """Return the question for registers, or for bits.

    Args:
        unit: address on the bus.
        function: 3 (holding registers), 4 (input registers), 1 (coils) or 2 (discrete inputs).
        address: first register or bit, from 0.
        count: of them, 1 to 125.

    Raises:
        ValueError: no such read.
    """
    if function not in _READS:
        raise ValueError(f"unit {unit}: function {function} does not read, 1 to 4 do")
    if not (1 <= count <= MOST_REGISTERS and address >= 0 and address + count <= 0x10000):
        raise ValueError(
            f"unit {unit}: cannot read {count} registers at {address:#06x}: one read takes 1 to {MOST_REGISTERS}, and"
            " addresses end at 0xffff"
        )
    pdu = _READS[function](address=address, count=count, dev_id=unit)
    size = (count + 7) // 8 if function in BIT_READS else 2 * count
    return _request(unit, pdu, value_head=bytes((unit, function, size)), answer_size=5 + size)


def write_registers(unit: int, function: int, address: int, data: bytes) -> ModbusRequest:
    """Return the question that writes holding registers.

    Its answer repeats address and value (6) or address and count (16), so it can be that of an older write to the same
    place: read the registers back.

    Args:
        unit: address on the bus.
        function: 6 (one register) or 16.
        address: first register, from 0.
        data: what they are to hold, two bytes each.

    Raises:
        ValueError: no such write.
    """
    count, odd = divmod(len(data), 2)
    most = {WRITE_ONE: 1, WRITE_MANY: MOST_WRITTEN}.get(function, 0)
    if odd or not (1 <= count <= most and address >= 0 and address + count <= 0x10000):
        raise ValueError(f"unit {unit}: function {function} cannot write {len(data)} bytes at {address:#06x}")
    registers = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    if function == WRITE_ONE:
        one = WriteSingleRegisterRequest(address=address, registers=registers, dev_id=unit)
        return _request(unit, one, value_head=None, answer_size=8)
    many = WriteMultipleRegistersRequest(address=address, registers=registers, dev_id=unit)
    return _request(unit, many, value_head=struct.pack(">BBHH", unit, function, address, count), answer_size=8)


def echo_test(unit: int, nonce: int) -> ModbusRequest:
    """Return the question that a unit answers by repeating it (function 8, sub-function 0).

    Its answer is that of no other question, but equal to the echo of an adapter that hears itself: it proves nothing on
    a line that has one.
    """
    return _request(unit, ReturnQueryDataRequest(message=nonce, dev_id=unit), value_head=None, answer_size=8)


def _request(unit: int, pdu: ModbusPDU, *, value_head: bytes | None, answer_size: int) -> ModbusRequest:
    frame = _SERIAL.buildFrame(pdu)
    return ModbusRequest(
        unit=unit,
        frame=frame,
        tcp_rest=_TCP.encode(frame[1:-2], unit, 0)[_TRANSACTION_SIZE:],
        value_head=frame[:-2] if value_head is None else value_head,
        refusal_head=bytes((unit, frame[1] | _REFUSAL_BIT)),
        answer_size=answer_size,
    )


def registers_of(frame: bytes) -> NDArray[np.uint16]:
    """Return the registers in the answer to a read, shape (registers,)."""
    return np.frombuffer(frame, dtype=">u2", count=frame[2] // 2, offset=PAYLOAD_AT).astype(np.uint16)


def foreign_frame(heard: bytes, start: int) -> int:
    """Return the length of any intact RTU frame, question or answer, that begins at `heard[start]`, else 0."""
    rest = heard[start : start + _LONGEST_FRAME]
    if len(rest) < _REFUSAL_SIZE:
        return 0
    for size in (_frame_size(_QUESTIONS, rest), _frame_size(_ANSWERS, rest)):
        if _REFUSAL_SIZE <= size <= len(rest) and _intact(rest, 0, size):
            return size
    return 0


def _frame_size(decoder: DecodePDU, frame: bytes) -> int:
    try:
        known = decoder.lookupPduClass(frame)
        return known.calculateRtuFrameSize(frame) if known else 0
    except (IndexError, struct.error):  # pymodbus looks for a length beyond what has come in
        return 0


def _intact(heard: bytes, start: int, end: int) -> bool:
    return crc16(heard[start : end - 2]) == int.from_bytes(heard[end - 2 : end], "little")


def tcp_frame(request: ModbusRequest, transaction: int) -> bytes:
    """Return the question as it goes over TCP: MBAP header with that transaction id (0 to 65535), then the PDU."""
    return transaction.to_bytes(_TRANSACTION_SIZE, "big") + request.tcp_rest


def split_tcp(buffer: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Split what a Modbus TCP connection brought into whole frames.

    pymodbus' decoder is not used for it: it takes one byte too many of a buffer in which a second frame has begun.

    Returns:
        Of each frame its transaction id, and unit and PDU; and how many bytes of the buffer they took.

    Raises:
        ProtocolError: the buffer begins with what is no header; frames before nonsense are returned first.
    """
    frames: list[tuple[int, bytes]] = []
    start = 0
    while len(buffer) - start > _MBAP.size:
        transaction, protocol, length = _MBAP.unpack_from(buffer, start)
        if protocol != 0 or not 2 <= length <= _LONGEST_TCP_LENGTH:
            if frames:
                break
            raise ProtocolError(
                f"no Modbus TCP header: {buffer[start : start + _MBAP.size + 1].hex(' ')}"
                f" (protocol {protocol}, length {length})"
            )
        end = start + _MBAP.size + length
        if end > len(buffer):
            break
        frames.append((transaction, buffer[start + _MBAP.size : end]))
        start = end
    return frames, start
