"""When a session is told to give memory back."""

from pathlib import Path

import numpy as np

from onnxd.runtime.arena import ArenaDiet
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.session_config import SessionConfig
from tests.support import graphs

SMALL, BIG = 4096, 2**24


def shrunk(diet: ArenaDiet, *sizes: int) -> list[int]:
    """Which of these runs give back, counted from 0."""
    return [number for number, size in enumerate(sizes) if diet.shrinks(size)]


def test_a_run_out_of_the_ordinary_gives_back_what_it_used() -> None:
    assert shrunk(ArenaDiet(), *[SMALL] * 10, BIG, *[SMALL] * 100) == [10]


def test_runs_that_are_always_large_keep_their_memory() -> None:
    assert shrunk(ArenaDiet(), *[BIG] * 1000) == []


def test_small_runs_are_left_alone_however_they_differ() -> None:
    assert shrunk(ArenaDiet(), *[16, 4096, 60000] * 100) == []


def test_when_runs_become_smaller_for_good_one_of_them_gives_back() -> None:
    runs = shrunk(ArenaDiet(), *[BIG] * 100, *[SMALL] * 100)
    assert len(runs) == 1
    assert 100 <= runs[0] < 120


def test_sizes_that_jump_to_and_fro_pay_for_it_once_in_a_while() -> None:
    assert len(shrunk(ArenaDiet(), *([SMALL] * 9 + [BIG]) * 64)) <= 11


def test_a_large_answer_to_a_small_request_is_given_back_by_the_next_run() -> None:
    diet = ArenaDiet()
    assert not diet.shrinks(SMALL)
    diet.largest_bytes = BIG
    assert diet.shrinks(SMALL)
    assert not diet.shrinks(SMALL)


def test_a_run_that_gives_back_answers_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.add_one(("batch", 4)))
    for config in (SessionConfig(), SessionConfig(memory_arena=False)):
        session = OnnxSession.open(path, config, threads=1)
        for rows in (1, 50_000, 1):
            answer = session.run({"x": np.zeros((rows, 4), np.float32)})["y"]
            assert answer.shape == (rows, 4)
            assert (answer == 1).all()
        session.close()
