"""The manifests of deploy/: rendered as committed, and true to the server, its image and each other."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onnxd.settings.loading import LoadedSettings, load_settings
from onnxd.settings.table import settings_by_path
from onnxd.telemetry.instrument import Instrument, Kind
from onnxd.telemetry.instruments import SERVER_INSTRUMENTS, VERSION_INSTRUMENTS
from onnxd.units import parse_size_bytes
from scripts.manifests import KUBERNETES, OVERLAYS, render
from tests.support.manifests import (
    KSERVE,
    RENDERED,
    Document,
    containers,
    documents,
    needs_kubectl,
    of_kind,
    the,
)
from tests.support.server import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
CONTAINERS = dict(containers())
LINGER_ABOVE_PROBES_S = 5
AFTER_DRAIN_S = 5
"""To send the last traces."""
IN_PLACE_OF_FIELDS = {"requests.cpu": "4"}
"""What stands for a value that Kubernetes fills in."""


def image_variables() -> dict[str, str]:
    """What the image sets."""
    return dict(re.findall(r"\b(ONNXD_[A-Z_]+)=(\S+)", DOCKERFILE))


def pod_of(name: str) -> Document:
    pod: Document = the(RENDERED / f"{name}.yaml", "Deployment")["spec"]["template"]["spec"]
    return pod


def variables_of(name: str) -> dict[str, str]:
    """All that a container is started with, over what the image sets."""
    container = CONTAINERS[name]
    given: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        path = RENDERED / f"{name}.yaml"
        (settings,) = (
            each
            for each in of_kind(path, "ConfigMap")
            if each["metadata"]["name"] == source["configMapRef"]["name"]
        )
        given |= settings["data"]
    for variable in container["env"]:
        origin = variable.get("valueFrom", {})
        field = origin.get("fieldRef", {}).get("fieldPath") or origin.get("resourceFieldRef", {})["resource"]
        given[variable["name"]] = IN_PLACE_OF_FIELDS.get(field, "some-name")
    return image_variables() | given


def settings_of(name: str) -> LoadedSettings:
    """As the server would have them, which refuses what it does not know."""
    flags: dict[tuple[str, ...], Any] = {}
    by_flag = {setting.flag: setting for setting in settings_by_path().values()}
    for argument in CONTAINERS[name].get("args", ["serve"])[1:]:
        flag, _, value = argument.replace("{{.Name}}", "resnet").partition("=")
        setting = by_flag[flag]
        flags[setting.path] = True if not value else (value,) if flag == "--model-repository" else value
    return load_settings(config=None, environment=variables_of(name), flags=flags)


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_renders_to_what_is_committed(overlay: str) -> None:
    assert render(overlay) == (RENDERED / f"{overlay}.yaml").read_text(encoding="utf-8")


@needs_kubectl
def test_the_check_of_the_renderings_passes() -> None:
    command = [sys.executable, "-m", "scripts.manifests", "--check"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_rendering_holds_to_the_schemas_of_kubernetes(overlay: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for document in documents(RENDERED / f"{overlay}.yaml"):
        if document["kind"] != "ServiceMonitor":  # the operator's own
            validate.validate(document, "1.30", strict=True)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_starts_with_settings_that_the_server_knows(name: str) -> None:
    settings = settings_of(name).settings

    assert settings.host == image_variables()["ONNXD_HOST"]
    assert not settings.model_control_api
    assert not settings.settings_api
    assert settings.identity.pod
    assert settings.threads.budget == 4
    assert settings.log.format == "json"


@pytest.mark.parametrize("name", CONTAINERS)
def test_ports_are_those_of_the_server_and_of_its_image(name: str) -> None:
    settings = settings_of(name).settings
    ports = {port["containerPort"] for port in CONTAINERS[name]["ports"]}

    assert ports == {settings.http.port, settings.grpc.port, 8002}
    (exposed,) = re.findall(r"^EXPOSE (.+)$", DOCKERFILE, re.MULTILINE)
    assert {int(port) for port in exposed.split()} == ports


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_probe_asks_what_it_is_for(name: str) -> None:
    container = CONTAINERS[name]
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")
    }

    assert paths == {
        "startup": "/v2/health/started",
        "readiness": "/v2/health/ready",
        "liveness": "/v2/health/live",
    }
    assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in paths} <= {"http", 8000}
    assert f"http://127.0.0.1:8000{paths['readiness']}" in DOCKERFILE  # the image's own check


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_stop_waits_until_it_is_noticed_and_is_over_before_the_kill(name: str) -> None:
    drain = settings_of(name).settings.drain
    readiness = CONTAINERS[name]["readinessProbe"]
    noticed_s = readiness["periodSeconds"] * readiness["failureThreshold"]

    assert drain.linger >= noticed_s + LINGER_ABOVE_PROBES_S
    # 30 s is what KServe's pods have unless an InferenceService says otherwise.
    grace_s = pod_of(name)["terminationGracePeriodSeconds"] if name in OVERLAYS else 30
    assert grace_s >= drain.linger + drain.grace + AFTER_DRAIN_S
    assert (
        "lifecycle" not in CONTAINERS[name]
    )  # the server lingers by itself: a preStop would only delay that


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_may_do_no_more_than_it_needs(name: str) -> None:
    container = CONTAINERS[name]
    context = container["securityContext"]
    own = pod_of(name)["securityContext"] if name in OVERLAYS else context

    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert own["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["runAsNonRoot"]
    assert f"USER {own['runAsUser']}\n" in DOCKERFILE


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_the_server_writes_is_mounted_where_its_image_says(name: str) -> None:
    volumes = (
        pod_of(name)["volumes"]
        if name in OVERLAYS
        else the(KSERVE / f"{name}.yaml", "ClusterServingRuntime")["spec"]["volumes"]
    )
    empty = {volume["name"] for volume in volumes if "emptyDir" in volume}
    writable = {mount["mountPath"] for mount in CONTAINERS[name]["volumeMounts"] if mount["name"] in empty}

    assert writable == {str(settings_of(name).settings.state_dir), "/tmp"}  # noqa: S108 -- in the container
    assert f'VOLUME ["/models", "{settings_of(name).settings.state_dir}"]' in DOCKERFILE


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_models_are_mounted_read_only_where_the_image_looks_for_them(overlay: str) -> None:
    (mount,) = (each for each in CONTAINERS[overlay]["volumeMounts"] if each["name"] == "models")

    assert mount["readOnly"]
    assert (Path(mount["mountPath"]),) == settings_of(overlay).settings.model_repository


@pytest.mark.parametrize("name", CONTAINERS)
def test_threads_and_memory_fit_what_is_reserved(name: str) -> None:
    resources = CONTAINERS[name]["resources"]
    requests, limits = resources["requests"], resources["limits"]

    assert float(requests["cpu"]).is_integer()  # the thread budget is a whole number of them
    assert float(limits["cpu"]) > float(requests["cpu"])
    assert requests["memory"] == limits["memory"]
    assert parse_size_bytes(limits["memory"] + "B") >= 2 * 2**30


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_services_variables_do_not_pass_for_settings(overlay: str) -> None:
    assert pod_of(overlay)["enableServiceLinks"] is False
    for path in KSERVE.glob("inferenceservice*.yaml"):
        assert the(path, "InferenceService")["spec"]["predictor"]["enableServiceLinks"] is False


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_services_lead_to_ports_that_the_pod_names(overlay: str) -> None:
    names = {port["name"]: port["containerPort"] for port in CONTAINERS[overlay]["ports"]}
    labels = the(RENDERED / f"{overlay}.yaml", "Deployment")["spec"]["template"]["metadata"]["labels"]
    services = {
        each["metadata"]["name"]: each["spec"] for each in of_kind(RENDERED / f"{overlay}.yaml", "Service")
    }

    assert set(services) == {"onnxd", "onnxd-grpc"}
    for service in services.values():
        assert service["selector"].items() <= labels.items()
        for port in service["ports"]:
            assert port["port"] == names[port["targetPort"]]
    assert services["onnxd-grpc"]["clusterIP"] == "None"
    monitor = the(RENDERED / f"{overlay}.yaml", "ServiceMonitor")["spec"]
    assert [each["port"] for each in monitor["endpoints"]] == ["metrics"]
    policy = the(RENDERED / f"{overlay}.yaml", "NetworkPolicy")["spec"]
    opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert opened == set(names)


def test_the_canary_is_among_the_stable_replicas_and_not_one_of_their_deployment() -> None:
    stable, canary = (the(RENDERED / f"{name}.yaml", "Deployment") for name in ("cpu", "canary"))
    (service, _) = of_kind(RENDERED / "cpu.yaml", "Service")

    assert service["spec"]["selector"].items() <= canary["spec"]["template"]["metadata"]["labels"].items()
    selector = stable["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= canary["spec"]["template"]["metadata"]["labels"].items()
    assert {each["kind"] for each in documents(RENDERED / "canary.yaml")} == {
        "ServiceAccount",
        "ConfigMap",
        "Deployment",
    }
    assert canary["spec"]["replicas"] == 1


def test_the_compose_file_says_what_the_image_does() -> None:
    (compose,) = documents(ROOT / "config" / "compose.yaml")
    service = compose["services"]["onnxd"]
    published = {port.rpartition(":")[2] for port in service["ports"]}
    (exposed,) = re.findall(r"^EXPOSE (.+)$", DOCKERFILE, re.MULTILINE)

    assert published == set(exposed.split())
    assert service["volumes"] == [f"../model_repository:{image_variables()['ONNXD_MODEL_REPOSITORY']}:ro"]
    load_settings(config=None, environment=image_variables() | service["environment"], flags={})
    assert "healthcheck" not in service  # the image's own holds


def exposed_names() -> set[str]:
    """Every name of a series that /metrics may have."""
    names = set()
    instruments: tuple[Instrument[Any], ...] = (*VERSION_INSTRUMENTS, *SERVER_INSTRUMENTS)
    for instrument in instruments:
        suffixes = ("_bucket", "_sum", "_count") if instrument.kind is Kind.HISTOGRAM else ("",)
        names |= {instrument.name + suffix for suffix in suffixes}
    return names


def test_the_autoscaler_asks_for_metrics_that_the_adapter_makes_of_ours() -> None:
    (adapter,) = documents(KUBERNETES / "autoscaling" / "prometheus-adapter.yaml")
    made = {rule["name"]["as"] for rule in adapter["rules"]["custom"]}
    read = set(
        re.findall(
            r"\bonnxd_\w+",
            json.dumps([(r["seriesQuery"], r["metricsQuery"]) for r in adapter["rules"]["custom"]]),
        )
    )

    assert read <= exposed_names()
    for overlay in ("cpu", "gpu"):
        scaler = the(RENDERED / f"{overlay}.yaml", "HorizontalPodAutoscaler")["spec"]
        assert {each["pods"]["metric"]["name"] for each in scaler["metrics"]} == made
        assert (
            scaler["scaleTargetRef"]["name"]
            == the(RENDERED / f"{overlay}.yaml", "Deployment")["metadata"]["name"]
        )
        assert "replicas" not in the(RENDERED / f"{overlay}.yaml", "Deployment")["spec"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_understands_the_adapters_queries(tmp_path: Path) -> None:
    (adapter,) = documents(KUBERNETES / "autoscaling" / "prometheus-adapter.yaml")
    rules = []
    for rule in adapter["rules"]["custom"]:
        query = rule["metricsQuery"]
        for placeholder, text in (
            ("<<.Series>>", rule["seriesQuery"].partition("{")[0]),
            ("<<.LabelMatchers>>", 'namespace="default",pod=~"a|b"'),
            ("<<.GroupBy>>", "pod"),
        ):
            query = query.replace(placeholder, text)
        rules.append({"record": f"pod:{rule['name']['as']}", "expr": query})
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "adapter", "rules": rules}]}), encoding="utf-8")

    checked = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )

    assert checked.returncode == 0, checked.stderr


def test_the_two_runtimes_of_kserve_differ_in_name_protocol_and_order_of_ports_alone() -> None:
    http, grpc = (
        the(KSERVE / f"clusterservingruntime{suffix}.yaml", "ClusterServingRuntime")
        for suffix in ("", "-grpc")
    )
    for runtime, name, protocol in ((http, "onnxd", "v2"), (grpc, "onnxd-grpc", "grpc-v2")):
        assert runtime["metadata"].pop("name") == name
        assert runtime["spec"].pop("protocolVersions") == [protocol]
        (container,) = runtime["spec"]["containers"]
        assert container["ports"][0]["name"] == ("http1" if protocol == "v2" else "h2c")
        container["ports"].sort(key=lambda port: port["containerPort"])
    assert http == grpc


def test_an_inference_service_names_a_runtime_that_is_there_and_its_protocol() -> None:
    runtimes = {}
    for path in KSERVE.glob("clusterservingruntime*.yaml"):
        runtime = the(path, "ClusterServingRuntime")
        runtimes[runtime["metadata"]["name"]] = runtime["spec"]["protocolVersions"]
    services = [the(path, "InferenceService") for path in sorted(KSERVE.glob("inferenceservice*.yaml"))]

    assert len(services) == 3
    for service in services:
        predictor = service["spec"]["predictor"]
        assert predictor["model"]["protocolVersion"] in runtimes[predictor["model"]["runtime"]]
        assert predictor["model"]["modelFormat"]["name"] == "onnx"
        drain = settings_of("clusterservingruntime").settings.drain
        assert predictor["terminationGracePeriodSeconds"] >= drain.linger + drain.grace + AFTER_DRAIN_S
