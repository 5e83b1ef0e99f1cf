"""ONNX Runtime's exceptions as ours; the texts are what version 1.32 really wrote."""

from pathlib import Path

import pytest

from onnxd.errors import ExecutionFailed, LoadFailed, ModelUnavailable, ServerError, TensorMismatch
from onnxd.runtime.ort_errors import MAX_TEXT_CHARACTERS, load_failure, run_failure, tidy

RUN = "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running "
ARENA = (
    "/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 void* onnxruntime::BFCArena::"
    "AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer "
    "of size 400000000000000\n"
)
BROADCAST = (
    "/onnxruntime_src/onnxruntime/core/providers/cpu/math/element_wise_ops.h:563 void onnxruntime::"
    "BroadcastIterator::Init(ptrdiff_t, ptrdiff_t) axis == 1 || axis == largest was false. Attempting to "
    "broadcast an axis by a dimension other than 1. 2 by 3\n"
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Invalid rank for input: x"),
            TensorMismatch,
            id="an invalid argument",
        ),
        pytest.param(
            RuntimeError(RUN + "Add node. " + BROADCAST), TensorMismatch, id="sizes that do not fit"
        ),
        pytest.param(
            UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"), TensorMismatch, id="half a surrogate"
        ),
        pytest.param(RuntimeError(RUN + "Expand node. " + ARENA), ModelUnavailable, id="no memory"),
        pytest.param(MemoryError(), ModelUnavailable, id="no memory in Python"),
        pytest.param(RuntimeError("std::bad_alloc"), ModelUnavailable, id="no memory in C++"),
        pytest.param(
            RuntimeError(RUN + "Loop node. Exiting due to terminate flag being set to true."),
            ExecutionFailed,
            id="terminated",
        ),
        pytest.param(
            RuntimeError(
                RUN
                + "Div node. Name:'' Status Message: element_wise_ops.cc:703 Compute Integer division by zero"
            ),
            ExecutionFailed,
            id="division by zero",
        ),
    ],
)
def test_a_failed_run_has_its_class(error: Exception, expected: type[ServerError]) -> None:
    assert type(run_failure(error)) is expected


def test_an_error_of_ours_stays_what_it_is() -> None:
    ours = TensorMismatch("input 'x' is missing")
    assert run_failure(ours) is ours


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            RUN + "Div node. Name:'/block/div' Status Message: element_wise_ops.cc:703 Compute Integer "
            "division by zero",
            "Div (/block/div): Integer division by zero",
            id="the node stays, the source goes",
        ),
        pytest.param(
            RUN + "Add node. Name:'' Status Message: " + BROADCAST,
            "Add: axis == 1 || axis == largest was false. Attempting to broadcast an axis by a dimension "
            "other than 1. 2 by 3",
            id="the signature goes",
        ),
        pytest.param(
            "[ONNXRuntimeError] : 1 : FAIL : /onnxruntime_src/onnxruntime/core/graph/model.cc:256 "
            "onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&, const "
            "onnxruntime::IOnnxRuntimeOpSchemaRegistryList*, const onnxruntime::logging::Logger&, const "
            "onnxruntime::ModelOptions&) Unsupported model IR version: 99, max supported IR version: 14\n",
            "Unsupported model IR version: 99, max supported IR version: 14",
            id="a long signature goes",
        ),
        pytest.param(
            "const T* onnxruntime::X() cannot open /home/someone/secret/file.bin now",
            "const T* onnxruntime::X() cannot open file.bin now",
            id="a path of the disk is cut to its name",
        ),
        pytest.param(
            "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: x for the "
            "following indices\n index: 1 Got: 5 Expected: 4\n Please fix either the inputs/outputs or the "
            "model.",
            "Got invalid dimensions for input: x for the following indices index: 1 Got: 5 Expected: 4",
            id="one line, without advice",
        ),
    ],
)
def test_a_text_is_made_fit_for_clients(text: str, expected: str) -> None:
    assert tidy(text) == expected


def test_the_models_directory_goes_whatever_its_name() -> None:
    text = 'Load model from /x y/z/model.onnx failed:External data path does not exist: "/x y/z/w.data"'
    assert tidy(text, Path("/x y/z")) == 'External data path does not exist: "w.data"'


def test_a_text_is_bounded() -> None:
    assert len(tidy("word " * 10_000)) == MAX_TEXT_CHARACTERS


def test_a_load_without_memory_says_so() -> None:
    failure = load_failure(RuntimeError("Load model from /a/m.onnx failed:std::bad_alloc"), Path("/a/m.onnx"))
    assert isinstance(failure, LoadFailed)
    assert failure.message == "m.onnx: not enough memory to build the session"
