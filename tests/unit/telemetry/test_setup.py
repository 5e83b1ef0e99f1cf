"""Building what sends traces away, and taking it down when the collector does not answer."""

import asyncio
import socket
import subprocess
import sys
from typing import Literal

import pytest
from opentelemetry import trace as global_trace
from pydantic import TypeAdapter, ValidationError

from onnxd.messages import Timeline
from onnxd.telemetry.otlp import TracingUnavailable, signal_url
from onnxd.telemetry.setup import TracingConfig, open_tracing
from tests.support.otlp_receiver import HttpReceiver
from tests.support.spans import finish


async def test_tracing_is_off_without_an_endpoint() -> None:
    async with open_tracing(TracingConfig(), version="1") as tracing:
        assert not tracing.on


def test_the_sdk_is_not_imported_while_tracing_is_off() -> None:
    program = (
        "import asyncio, sys\n"
        "from onnxd.telemetry.setup import TracingConfig, open_tracing\n"
        "async def main():\n"
        "    async with open_tracing(TracingConfig(), '1'): pass\n"
        "asyncio.run(main())\n"
        "heavy = ('opentelemetry.sdk', 'opentelemetry.exporter', 'grpc', 'requests')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_process_keeps_its_own_tracer_provider(
    scheme: str, protocol: Literal["grpc", "http/protobuf"]
) -> None:
    before = global_trace.get_tracer_provider()
    async with open_tracing(TracingConfig(f"{scheme}://127.0.0.1:1", protocol), version="1") as tracing:
        assert tracing.on
        assert global_trace.get_tracer_provider() is before


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_a_missing_package_is_named_with_the_extra_that_has_it(
    protocol: Literal["grpc", "http/protobuf"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    config = TracingConfig("http://collector:4317", protocol)
    with pytest.raises(TracingUnavailable, match=r"opentelemetry\.sdk\.trace.*onnxd\[otel\]"):
        async with open_tracing(config, version="1"):
            pass


async def test_K8_a_redirect_is_not_followed(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        HttpReceiver() as elsewhere,
        HttpReceiver(redirect_to=f"{elsewhere.endpoint}/v1/traces") as collector,
    ):
        async with open_tracing(TracingConfig(collector.endpoint, "http/protobuf"), version="1") as tracing:
            finish(tracing, tracing.start({}), Timeline(), "POST /infer", 200)
        assert collector.redirected == 1
        assert elsewhere.spans == []
    assert "redirect" in caplog.text


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_a_collector_that_never_answers_does_not_hold_the_exit(
    protocol: Literal["grpc", "http/protobuf"],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = TracingConfig(f"http://127.0.0.1:{silent.getsockname()[1]}", protocol)
        # The exporter's own limit is longer than the test's.
        async with asyncio.timeout(8), open_tracing(config, version="1", shutdown_s=0.1) as tracing:
            finish(tracing, tracing.start({}), Timeline(), "POST /infer", 200)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://collector/otlp/v1/traces", "https://collector/otlp/v1/traces"),
    ],
    ids=["no path", "only a slash", "a path of its own"],
)
def test_the_endpoint_over_http_is_a_base_or_a_whole_url(endpoint: str, url: str) -> None:
    assert signal_url(endpoint, "traces") == url


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoint": "collector:4317"},
        {"endpoint": "ftp://collector"},
        {"endpoint": "http://user:secret@collector"},
        {"endpoint": "http://"},
        {"protocol": "http/json"},
        {"sample_ratio": 1.5},
        {"sample_ratio": -0.1},
        {"sample_ratio": float("nan")},
        {"service_name": ""},
        {"headers": {"X-Key": "upper case"}},
        {"headers": {"x-key": "line\nbreak"}},
    ],
    ids=lambda settings: str(settings),
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(TracingConfig).validate_python(settings)


def test_headers_are_not_printed() -> None:
    assert "secret" not in repr(TracingConfig("https://collector", headers={"api-key": "secret"}))
