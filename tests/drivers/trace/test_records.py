import hashlib
import io

import pytest

from drivers.trace.records import Record, Trace, TraceError, read_trace, write_trace

RECORDS = [
    Record(t_ns=0, bus="aft", talker="host", data=b"\x01\xff"),
    Record(t_ns=10**13, bus="aft", talker="unit 1", data=b"", note="late, crc"),
]


def traced(records, **more):
    trace = Trace(**more)
    for record in records:
        trace.add(record)
    return trace


def test_a_written_trace_reads_back_with_the_same_hash(tmp_path):
    path = tmp_path / "run.jsonl"
    write_trace(path, RECORDS)
    again = read_trace(path)
    assert again.records == RECORDS
    assert again.hash() == traced(RECORDS).hash() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_sink_gets_the_lines_and_memory_keeps_none():
    sink = io.BytesIO()
    trace = traced(RECORDS, sink=sink)
    assert sink.getvalue() == b"".join(record.line() for record in RECORDS)
    assert trace.records == []
    assert trace.hash() == traced(RECORDS).hash()


@pytest.mark.parametrize("field", [{"t_ns": 1}, {"bus": "b"}, {"talker": "unit 2"}, {"data": b"x"}, {"note": "n"}])
def test_the_hash_depends_on_every_field(field):
    words = {"t_ns": 0, "bus": "aft", "talker": "host", "data": b"\x01\xff", "note": ""} | field
    assert traced([Record(**words)]).hash() != traced(RECORDS[:1]).hash()


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"t_ns":0}', b'{"t_ns":0,"bus":"b","talker":"h","hex":"0","note":""}'])
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "run.jsonl"
    path.write_bytes(RECORDS[0].line() + line + b"\n")
    with pytest.raises(TraceError, match=r"run\.jsonl:2: "):
        read_trace(path)
