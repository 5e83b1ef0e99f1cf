"""The recorder, its files, and what reads them, without a server."""

import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from onnxd.messages import InferRequest, InferResponse, Principal
from onnxd.telemetry.export_counts import RecordCounts
from onnxd.telemetry.record_reader import RecordingUnusable, open_recording
from onnxd.telemetry.recorder import (
    MOST_WAITING,
    Recorder,
    RecorderConfig,
    RecorderUnusable,
    open_recorder,
)
from onnxd.telemetry.records import PREFIX, BadRecord, Record, decode, encode
from onnxd.telemetry.segment_ring import SegmentRing, TooLarge
from onnxd.tensors import Array, Datatype


def arrays() -> dict[str, Array]:
    made: dict[str, Array] = {
        datatype.value: np.array([[0, 1, 1]]).astype(datatype.dtype)
        for datatype in Datatype
        if datatype is not Datatype.BYTES
    }
    texts: Array = np.array([["", "a\0b\0", "grün"]], object)
    return {**made, "BYTES": texts, "empty": np.zeros((0, 4), np.float32), "scalar": np.array(3.5)}


def record(at: int = 5, size: int = 4) -> Record:
    return Record(arrived_ns=at, model="m", version=1, inputs={"x": np.full(size, at, np.uint8)})


def as_bytes(one: Record) -> bytes:
    return b"".join(encode(one))


def request(size: int = 4) -> InferRequest:
    return InferRequest("m", {"x": np.zeros(size, np.uint8)}, id="r-1", principal=Principal("anna"))


def answer() -> InferResponse:
    return InferResponse("m", 3, "r-1", {"y": np.ones(2, np.uint8)})


def test_a_record_is_read_as_it_was_written() -> None:
    written = Record(
        7, "m", 2, arrays(), {"y": np.array([1.5], ml_dtypes.bfloat16)}, {"y": 0}, 9, 1, 2, "E", "p", "i"
    )
    data = as_bytes(written)

    read = decode(data[: PREFIX.size], memoryview(data)[PREFIX.size :])

    for name, array in {**written.inputs, **written.outputs}.items():
        back = {**read.inputs, **read.outputs}[name]
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        assert back.tolist() == array.tolist()
    fields = ("arrived_ns", "model", "version", "asked", "total_ns", "queue_ns", "compute_ns", "error")
    assert all(getattr(read, name) == getattr(written, name) for name in (*fields, "principal", "id"))


def test_a_file_is_read_up_to_the_last_whole_record_wherever_it_ends(tmp_path: Path) -> None:
    ring = SegmentRing(tmp_path, 2**20)
    for at in (2, 1):
        ring.append(encode(record(at)))
    ring.close()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    one = len(as_bytes(record(1)))
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        found = open_recording(tmp_path)
        assert len(found.entries) == (cut >= len(whole) - one) + (cut == len(whole))
        assert [entry.read().arrived_ns for entry in found.entries] == [2][: len(found.entries)]
    file.write_bytes(whole)
    assert [entry.arrived_ns for entry in open_recording(file).entries] == [1, 2]
    assert open_recording(file).cut == ()


def test_a_record_that_was_damaged_is_refused_by_itself(tmp_path: Path) -> None:
    ring = SegmentRing(tmp_path, 2**20)
    ring.append(encode(record(1)))
    ring.append(encode(record(2)))
    ring.close()
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    first, second = open_recording(file).entries
    assert first.read().arrived_ns == 1
    with pytest.raises(BadRecord, match="CRC-32"):
        second.read()


def test_what_is_no_recording_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(RecordingUnusable, match=r"recorder\.share"):
        open_recording(tmp_path)
    with pytest.raises(RecordingUnusable, match="No such file"):
        open_recording(tmp_path / "none" / "of.it")
    (tmp_path / "x").write_bytes(b"something else altogether")
    with pytest.raises(RecordingUnusable, match="not a recording"):
        open_recording(tmp_path / "x")


def test_the_ring_holds_the_newest_and_never_more_bytes_than_it_may(tmp_path: Path) -> None:
    ring = SegmentRing(tmp_path, 8192)
    for at in range(200):
        ring.append(encode(record(at, 100)))
        ring.flush()
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 8192
    ring.close()
    kept = [entry.arrived_ns for entry in open_recording(tmp_path).entries]
    assert kept == list(range(kept[0], 200))
    assert len(kept) > 10
    with pytest.raises(TooLarge):
        ring.append(encode(record(1, 9000)))


def test_who_asked_is_recorded_only_if_wanted(tmp_path: Path) -> None:
    for callers in (False, True):
        directory = tmp_path / str(callers)
        directory.mkdir()
        config = RecorderConfig(share=1.0, callers=callers, outputs=callers)
        with Recorder(config, directory, RecordCounts()) as recorder:
            recorder.offer(request(), answer())
        data = b"".join(file.read_bytes() for file in directory.iterdir())
        assert (b"anna" in data, b"r-1" in data) == (callers, callers)
        assert list(open_recording(directory).entries[0].read().outputs) == (["y"] if callers else [])


def test_what_waits_for_the_disk_is_bounded_and_what_is_too_large_counted(tmp_path: Path) -> None:
    counts = RecordCounts()
    recorder = Recorder(RecorderConfig(share=1.0, max_request=100), tmp_path, counts)
    for _ in range(MOST_WAITING + 3):
        recorder.offer(request(), answer())
    recorder.offer(request(101), answer())
    assert counts.snapshot() == {"written": 0, "failed": 0, "dropped": 3, "large": 1}
    with recorder:
        pass
    assert counts.written == MOST_WAITING


def test_a_disk_that_takes_nothing_costs_records_and_nothing_else(tmp_path: Path) -> None:
    counts = RecordCounts()
    with Recorder(RecorderConfig(share=1.0), tmp_path / "gone", counts) as recorder:
        recorder.offer(request(), answer())
        recorder.offer(request(), None, "ExecutionFailed")
    assert counts.snapshot() == {"written": 0, "failed": 2, "dropped": 0, "large": 0}


def test_a_part_of_a_batch_counts_as_all_that_it_keeps_in_memory(tmp_path: Path) -> None:
    counts = RecordCounts()
    recorder = Recorder(RecorderConfig(share=1.0), tmp_path, counts)
    batch = np.zeros(65 * 2**20, np.uint8)
    recorder.offer(request(), InferResponse("m", 1, "", {"y": batch[:2]}))
    assert counts.dropped == 1


def test_a_tensor_without_a_form_on_disk_is_counted_and_the_next_one_written(tmp_path: Path) -> None:
    counts = RecordCounts()
    with Recorder(RecorderConfig(share=1.0), tmp_path, counts) as recorder:
        recorder.offer(request(), InferResponse("m", 1, "", {"y": np.zeros(1, np.complex64)}))
        recorder.offer(request(), answer())
    assert (counts.failed, counts.written) == (1, 1)


def test_only_a_share_and_only_the_named_models_are_wanted(tmp_path: Path) -> None:
    half = Recorder(RecorderConfig(share=0.5, models=("m",)), tmp_path, RecordCounts())
    assert not any(half.wants("other") for _ in range(100))
    assert 0 < sum(half.wants("m") for _ in range(200)) < 200


def test_without_a_share_nothing_is_opened_and_a_bad_directory_is_said_at_the_start(tmp_path: Path) -> None:
    with open_recorder(RecorderConfig(), tmp_path / "state", RecordCounts()) as nobody:
        assert nobody is None
    assert not (tmp_path / "state").exists()
    (tmp_path / "file").write_text("")
    config = RecorderConfig(share=1.0, directory=tmp_path / "file" / "below")
    with (
        pytest.raises(RecorderUnusable, match="--recorder-directory"),
        open_recorder(config, tmp_path, RecordCounts()),
    ):
        pass


def test_a_record_says_when_the_request_came(tmp_path: Path) -> None:
    before = time.time_ns()
    one = request()
    with Recorder(RecorderConfig(share=1.0), tmp_path, RecordCounts()) as recorder:
        recorder.offer(one, answer())
    (entry,) = open_recording(tmp_path).entries
    assert abs(entry.arrived_ns - before) < 60 * 10**9
    assert entry.read().version == 3
