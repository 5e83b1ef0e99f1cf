"""How the death of a trial's process reads."""

import signal

import pytest

from onnxd.runtime.trial_process import cause

GIB = 2**30


@pytest.mark.parametrize(
    ("code", "last_words", "expected"),
    [
        pytest.param(
            -signal.SIGSEGV, "", "its process was killed by signal 11 (SIGSEGV)", id="a segmentation fault"
        ),
        pytest.param(
            -signal.SIGKILL,
            "",
            "its process was killed by signal 9 (SIGKILL), as the system does when memory runs out,",
            id="the system's own end",
        ),
        pytest.param(
            -signal.SIGXCPU, "", "it used more than its limit of 60 s of CPU time", id="the CPU limit"
        ),
        pytest.param(
            -signal.SIGABRT,
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "it ran out of its memory limit of 4096 MiB",
            id="an allocation that nobody caught",
        ),
        pytest.param(
            -100, "", "its process was killed by signal 100 (unknown)", id="a signal without a name"
        ),
        pytest.param(1, "Traceback", "its process ended with exit code 1", id="an exit"),
    ],
)
def test_a_cause_of_death_is_a_sentence(code: int, last_words: str, expected: str) -> None:
    assert cause(code, last_words, cpu_s=60.0, memory_bytes=4 * GIB) == expected
