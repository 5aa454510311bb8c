import hashlib
import io

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.rig import Bus
from drivers.trace.records import Header, Record, Trace, TraceError, View, read_trace, with_header, write_trace

RECORDS = [
    Record(t_ns=0, bus="aft", talker="host", data=b"\x01\xff"),
    Record(t_ns=10**13, bus="aft", talker="unit 1", data=b"", note="late, crc"),
]
HEADER = Header(
    view=View.HOST,
    by="manovac 1",
    buses={"aft": Bus(kind="serial", port="-", baud=19200, format="8E1"), "net": Bus(kind="modbus-tcp", port="-")},
    start="2026-01-02T03:04:05.678+00:00",
    rig="ab" * 32,
    seed=7,
)


def traced(records, sink=None, header=None):
    trace = Trace(sink, header=header)
    for record in records:
        trace.add(record)
    return trace


@pytest.mark.parametrize("header", [None, HEADER])
def test_a_written_trace_reads_back_with_header_and_hash(tmp_path, header):
    path = tmp_path / "run.jsonl"
    write_trace(path, traced(RECORDS, header=header))
    again = read_trace(path)
    assert (again.records, again.header, again.count) == (RECORDS, header, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    of_records = hashlib.sha256(b"".join(lines[-2:])).hexdigest()
    assert again.hash() == traced(RECORDS).hash() == of_records
    assert len(lines) == 2 + (header is not None)


@given(
    st.lists(
        st.builds(
            Record,
            t_ns=st.integers(min_value=-(2**62), max_value=2**62),
            bus=st.text(),
            talker=st.text(),
            data=st.binary(max_size=40),
            note=st.text(),
        )
    )
)
def test_any_records_read_back(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("trace") / "run.jsonl"
    write_trace(path, traced(records))
    assert read_trace(path).records == records


def test_a_sink_gets_the_lines_and_memory_keeps_none():
    sink = io.BytesIO()
    trace = traced(RECORDS, sink, HEADER)
    assert sink.getvalue() == HEADER.line() + b"".join(record.line() for record in RECORDS)
    assert trace.records == []
    assert trace.hash() == traced(RECORDS).hash()


@pytest.mark.parametrize("field", [{"t_ns": 1}, {"bus": "b"}, {"talker": "unit 2"}, {"data": b"x"}, {"note": "n"}])
def test_the_hash_depends_on_every_field(field):
    words = {"t_ns": 0, "bus": "aft", "talker": "host", "data": b"\x01\xff", "note": ""} | field
    assert traced([Record(**words)]).hash() != traced(RECORDS[:1]).hash()


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"t_ns":0}',
        b'{"t_ns":0,"bus":"b","talker":"h","hex":"0","note":""}',
        b'{"t_ns":0.5,"bus":"b","talker":"h","hex":"00","note":""}',
        b'{"t_ns":0,"bus":"b","talker":"h","hex":12,"note":""}',
    ],
)
@pytest.mark.parametrize("place", [1, 2])
def test_a_bad_line_is_named(tmp_path, line, place):
    path = tmp_path / "run.jsonl"
    path.write_bytes(RECORDS[0].line() * (place - 1) + line + b"\n")
    with pytest.raises(
        TraceError, match=rf"run\.jsonl:{place}: not a trace record, which is one JSON object a line: \w"
    ):
        read_trace(path)


def test_a_file_of_other_bytes_is_no_trace_that_was_cut_off(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(TraceError, match=r"run\.jsonl:1: not a trace record"):
        read_trace(path)


def test_a_line_that_was_cut_off_is_told_from_a_bad_one(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_bytes(HEADER.line() + RECORDS[0].line() + RECORDS[1].line()[:30])
    with pytest.raises(TraceError, match=r"run\.jsonl:3: cut off in the middle.*delete this line"):
        read_trace(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trace": 2}, "a trace of version 2; this Manovac reads version 1"),
        ({"view": "above"}, "not a trace header"),
        ({"buses": []}, "not a trace header"),
        ({"buses": {"Aft line": {"kind": "serial", "baud": 9600, "format": "8N1"}}}, "not a trace header"),
        ({"buses": {"aft": {"kind": "serial", "baud": 1, "format": "8N1"}}}, "not a trace header"),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path, change, message):
    path = tmp_path / "run.jsonl"
    path.write_bytes(orjson.dumps(orjson.loads(HEADER.line()) | change) + b"\n")
    with pytest.raises(TraceError, match=message):
        read_trace(path)


def test_what_needs_the_line_says_that_the_header_is_missing_or_knows_no_such_bus(tmp_path):
    assert with_header(traced(RECORDS, header=HEADER), tmp_path) is HEADER
    with pytest.raises(TraceError, match="no header, so kind, baud and format"):
        with_header(traced(RECORDS), tmp_path)
    other = Record(t_ns=0, bus="fore", talker="host", data=b"\0")
    with pytest.raises(TraceError, match=":3: the header names no bus 'fore'"):
        with_header(traced([RECORDS[0], other], header=HEADER), tmp_path)


def test_only_a_trace_is_overwritten(tmp_path):
    path = tmp_path / "run.jsonl"
    for records in (RECORDS, RECORDS[:1]):
        write_trace(path, traced(records))
        write_trace(path, traced(records, header=HEADER))
        assert read_trace(path).records == records
    path.write_text("[station]\n")
    with pytest.raises(TraceError, match="exists and is no trace"):
        write_trace(path, traced(RECORDS))
    assert path.read_text() == "[station]\n"


def test_an_empty_file_is_an_empty_trace(tmp_path):
    path = tmp_path / "run.jsonl"
    path.touch()
    assert (read_trace(path).records, read_trace(path).header) == ([], None)
