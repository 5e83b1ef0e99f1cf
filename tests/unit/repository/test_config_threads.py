"""Models load side by side, each on a thread of its own."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from onnxd.repository import config_file


def test_the_first_configs_may_be_read_at_the_same_time() -> None:
    """The schema is made once, however many threads are first to want it."""
    threads = 4
    for _ in range(3):
        config_file._document_type.cache_clear()
        together = Barrier(threads)

        def first(together: Barrier = together) -> int:
            together.wait()
            return config_file.document_type().decode is not None and id(config_file.document_type())

        with ThreadPoolExecutor(threads) as pool:
            made = {future.result() for future in [pool.submit(first) for _ in range(threads)]}
        assert made == {id(config_file.document_type())}
