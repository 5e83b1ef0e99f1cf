"""What a child process is given."""

from onnxd.runtime.child_process import child_environment


def test_a_child_gets_what_it_needs_and_no_secrets() -> None:
    environment = {
        "PATH": "/bin",
        "PYTHONPATH": "x",
        "CUDA_VISIBLE_DEVICES": "0",
        "ONNXD_KEY": "k",
        "AWS_TOKEN": "t",
    }
    assert child_environment(environment) == {
        "PATH": "/bin",
        "PYTHONPATH": "x",
        "CUDA_VISIBLE_DEVICES": "0",
        "ORT_DISABLE_TELEMETRY": "1",
    }
