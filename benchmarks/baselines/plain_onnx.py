"""Plain ONNX Runtime in a process of its own: the model and nothing else, on one thread.

    python -m benchmarks.baselines.plain_onnx MODEL SECONDS ROWS...

runs batches of each size for so long, and prints rows, CPU seconds and wall seconds, a line each.
"""

import sys
import time

import numpy as np
import onnxruntime


def main(path: str, seconds: float, sizes: list[int]) -> None:
    """Smaller sizes first."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    for rows in sizes:
        batch = {taken.name: np.ones((rows, *taken.shape[1:]), np.float32)}
        for _ in range(3):
            session.run(None, batch)
        runs = 0
        wall_s, cpu_s = time.monotonic(), time.process_time()
        while time.monotonic() - wall_s < seconds:
            for _ in range(4):
                session.run(None, batch)
            runs += 4
        print(runs * rows, time.process_time() - cpu_s, time.monotonic() - wall_s)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), [int(rows) for rows in sys.argv[3:]])
