"""Plain ONNX Runtime in a process of its own: the model and nothing else, on one thread.

    python -m benchmarks.baselines.plain_onnx MODEL WIDTH ROWS SECONDS

prints rows, CPU seconds and wall seconds.
"""

import sys
import time

import numpy as np
import onnxruntime


def main(path: str, width: int, rows: int, seconds: float) -> None:
    """Run batches of `rows` for so long."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batch = {"x": np.ones((rows, width), np.float32)}
    for _ in range(10):
        session.run(["y"], batch)
    runs = 0
    wall_s, cpu_s = time.monotonic(), time.process_time()
    while time.monotonic() - wall_s < seconds:
        for _ in range(16):
            session.run(["y"], batch)
        runs += 16
    print(runs * rows, time.process_time() - cpu_s, time.monotonic() - wall_s)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
