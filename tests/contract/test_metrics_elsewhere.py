"""Metrics of one running server, as everybody reads them: OpenMetrics, OTLP, a real Prometheus, and in the
documents that we ship."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client import Metric as PrometheusMetric
from prometheus_client.openmetrics import parser

from onnxd.telemetry.instrument import Instrument, Kind
from onnxd.telemetry.instruments import SERVER_INSTRUMENTS, VERSION_INSTRUMENTS
from onnxd.telemetry.metric_export import MetricExportConfig
from onnxd.telemetry.setup import TracingConfig
from onnxd.telemetry.storage_instruments import STORAGE_INSTRUMENTS
from tests.support.graphs import add_one
from tests.support.otlp_receiver import GrpcReceiver, MetricsReceiver
from tests.support.scraping import Scrape
from tests.support.server import ROOT, RunningServer, publish, running_server
from tests.support.until import until

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
INSTRUMENTS: list[Instrument[Any]] = [*VERSION_INSTRUMENTS, *SERVER_INSTRUMENTS]
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(slots=True)
class Stand:
    """A server that has answered one request, which was traced, and where it sends things."""

    server: RunningServer
    traces: GrpcReceiver
    session: aiohttp.ClientSession

    async def ask(self) -> None:
        async with self.session.post(f"{self.server.http}/v2/models/m/infer", json=BODY) as answer:
            assert answer.status == 200

    async def scrape(self, accept: str) -> tuple[str, str]:
        async with self.session.get(self.server.metrics, headers={"Accept": accept}) as answer:
            return answer.headers["Content-Type"], await answer.text()


@asynccontextmanager
async def standing(path: Path, **changes: Any) -> AsyncIterator[Stand]:
    publish(path / "models", "m", 1, add_one(), "max_batch_size: 8\n")
    async with GrpcReceiver() as traces, aiohttp.ClientSession() as session:
        tracing = TracingConfig(endpoint=traces.endpoint)
        async with running_server(path / "models", path / "state", tracing=tracing, **changes) as server:
            stand = Stand(server, traces, session)
            await stand.ask()
            yield stand


async def test_openmetrics_leads_from_a_bucket_to_a_trace(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        kind, text = await stand.scrape("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
        plain, old = await stand.scrape("text/plain")
    assert (kind, text.endswith("# EOF\n")) == (OPENMETRICS, True)
    assert plain.startswith("text/plain")
    assert "trace_id" not in old
    parse: Callable[[str], Iterable[PrometheusMetric]] = parser.text_string_to_metric_families
    families = {family.name: family for family in parse(text)}
    (request,) = (span for span in stand.traces.spans if span.name == "onnxd.infer")
    for name in ("onnxd_request_duration_seconds", "onnxd_compute_duration_seconds", "onnxd_batch_rows"):
        (sample,) = (sample for sample in families[name].samples if sample.exemplar)
        assert sample.exemplar is not None
        assert sample.exemplar.labels == {"trace_id": request.trace_id}
        assert sample.exemplar.value <= float(sample.labels["le"])
    assert families["nv_inference_count"].type == "unknown"
    # Nothing but the form differs.
    assert {re.split(r"[ {]", line)[0] for line in text.splitlines() if line[0] != "#"} == {
        re.split(r"[ {]", line)[0] for line in old.splitlines() if line[0] != "#"
    }


async def test_a_collector_receives_the_same_metrics_over_otlp(tmp_path: Path) -> None:
    async with MetricsReceiver() as collector:
        export = MetricExportConfig(collector.endpoint, interval=0.05, service_name="digits-server")
        async with standing(tmp_path, metric_export=export) as stand:
            async with asyncio.timeout(20):
                await collector.arrived.wait()
            await stand.ask()
            _, text = await stand.scrape("text/plain")
        found = collector.metrics  # the last time is when the server stops
    scraped = Scrape.of(text)
    assert collector.resource["service.name"] == "digits-server"
    assert set(found) == {each.name for each in INSTRUMENTS} - {
        "onnxd_worker_restarts_total",  # of isolated models only
        "onnxd_identity_info",  # of servers that are told who they are
        *(each.name for each in STORAGE_INSTRUMENTS),  # of repositories that lie elsewhere
    }
    (point,) = found["nv_inference_request_success"].sum.data_points
    assert (point.as_int, found["nv_inference_request_success"].sum.is_monotonic) == (2, True)
    assert {pair.key: pair.value.string_value for pair in point.attributes} == {"model": "m", "version": "1"}
    (times,) = found["onnxd_request_duration_seconds"].histogram.data_points
    assert (times.count, found["onnxd_request_duration_seconds"].unit) == (2, "s")
    assert times.sum == pytest.approx(scraped.value("onnxd_request_duration_seconds_sum", model="m"))
    assert len(times.bucket_counts) == len(times.explicit_bounds) + 1
    assert not times.HasField("min")
    traces = {span.trace_id for span in stand.traces.spans if span.name == "onnxd.infer"}
    assert {exemplar.trace_id.hex() for exemplar in times.exemplars} <= traces
    assert times.exemplars


async def test_a_collector_that_is_away_costs_no_more_than_what_is_not_sent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        export = MetricExportConfig(f"http://127.0.0.1:{silent.getsockname()[1]}", interval=0.01)
        async with standing(tmp_path, metric_export=export) as stand:

            async def skipped() -> bool:
                _, text = await stand.scrape("text/plain")
                return Scrape.of(text).value("onnxd_metric_exports_total", result="skipped") > 2

            await until(skipped)
            await stand.ask()


def started(prometheus: str, config: Path, data: Path, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            prometheus, f"--config.file={config}", f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


async def test_a_real_prometheus_scrapes_a_server_with_our_rules(tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with standing(tmp_path) as stand:
        config = yaml.safe_load((ROOT / "config/prometheus/prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": "200ms", "scrape_timeout": "200ms"}
        config["rule_files"] = [str(ROOT / "config/prometheus/onnxd.rules.yaml")]
        target = stand.server.metrics.removeprefix("http://").removesuffix("/metrics")
        config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
        file = tmp_path / "prometheus.yaml"
        file.write_text(yaml.safe_dump(config))
        process = started(prometheus, file, tmp_path / "data", port)

        async def query(path: str, **arguments: str) -> Any:
            try:
                async with stand.session.get(
                    f"http://127.0.0.1:{port}/api/v1/{path}", params=arguments
                ) as answer:
                    return (await answer.json(content_type=None))["data"] if answer.status == 200 else None
            except aiohttp.ClientError:
                return None  # it is starting

        async def scraped() -> bool:
            found = await query("query", query="nv_inference_request_success")
            return bool(found and found["result"])

        try:
            await until(scraped)
            (found,) = (await query("query", query="nv_inference_request_success"))["result"]
            assert (found["metric"]["model"], found["value"][1]) == ("m", "1")
            rules = (await query("rules"))["groups"][0]["rules"]
            assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
            exemplars = await query(
                "query_exemplars", query="onnxd_request_duration_seconds_bucket", start="0", end="9999999999"
            )
            (request,) = (span for span in stand.traces.spans if span.name == "onnxd.infer")
            assert exemplars[0]["exemplars"][0]["labels"]["trace_id"] == request.trace_id
        finally:
            process.terminate()
            process.wait(20)


def known_names() -> set[str]:
    names = {"up"}
    for instrument in INSTRUMENTS:
        suffixes = ("_bucket", "_sum", "_count") if instrument.kind is Kind.HISTOGRAM else ("",)
        names |= {instrument.name + suffix for suffix in suffixes}
    return names


def expressions_of(file: str) -> list[str]:
    if file.endswith(".json"):
        dashboard = json.loads((ROOT / file).read_text())
        return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((ROOT / file).read_text())
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("file", ["config/grafana/onnxd.json", "config/prometheus/onnxd.rules.yaml"])
def test_every_metric_in_a_document_that_we_ship_exists(file: str) -> None:
    expressions = expressions_of(file)
    named = {name for each in expressions for name in re.findall(r"\b(?:onnxd|nv|process)_\w+", each)}
    assert len(named) > 5
    assert named <= known_names()


def test_the_rules_that_we_ship_are_well_formed() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; it comes with Prometheus")
    checked = subprocess.run(
        [promtool, "check", "config", str(ROOT / "config/prometheus/prometheus.yaml")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_every_alert_is_in_the_documentation() -> None:
    rules = yaml.safe_load((ROOT / "config/prometheus/onnxd.rules.yaml").read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    written = re.findall(r"^\| `(Onnxd\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    assert written == alerts
