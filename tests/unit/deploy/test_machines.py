"""What deploy/ has for machines without an orchestrator: systemd's unit, and the balancer's configuration."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from onnxd.settings.loading import load_settings
from onnxd.settings.server_settings import ServerSettings
from onnxd.units import parse_duration_s
from tests.support.balancer import CONFIG
from tests.support.server import ROOT

SYSTEMD: Final = ROOT / "deploy" / "systemd"
AFTER_DRAIN_S: Final = 5
BALANCER: Final = CONFIG.read_text("utf-8")


def unit() -> configparser.SectionProxy:
    read = configparser.ConfigParser(interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]  # names in a unit have capitals
    read.read(SYSTEMD / "onnxd.service", encoding="utf-8")
    return read["Service"]


def variables() -> dict[str, str]:
    lines = (SYSTEMD / "onnxd.env").read_text("utf-8").splitlines()
    given = [*unit()["Environment"].split(), *(line for line in lines if not line.startswith("#"))]
    return dict(each.split("=", 1) for each in given)


def settings() -> ServerSettings:
    """As the server would have them, which refuses what it does not know."""
    return load_settings(config=None, environment=variables(), flags={}).settings


def duration_of(keyword: str) -> float:
    [said] = re.findall(rf"\b{keyword} (\d+m?s)\b", BALANCER)
    return parse_duration_s(said)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (SYSTEMD / "onnxd.service").read_text("utf-8")
    program = "/opt/onnxd/bin/onnxd"
    assert text.count(program) == 1
    # It looks for the program too, which is not installed there.
    (tmp_path / "onnxd.service").write_text(text.replace(program, sys.executable))

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "onnxd.service")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_unit_starts_a_server_with_settings_that_it_knows() -> None:
    found = settings()

    assert str(found.state_dir) == f"/var/lib/{unit()['StateDirectory']}"
    assert not found.model_control_api
    assert not found.settings_api


def test_systemd_kills_only_after_a_drain() -> None:
    drain = settings().drain
    assert parse_duration_s(unit()["TimeoutStopSec"]) >= drain.linger + drain.grace + AFTER_DRAIN_S


def test_a_replica_lingers_until_the_balancer_has_noticed() -> None:
    assert "fall 2" in BALANCER
    noticed_s = duration_of("inter") + duration_of("fastinter")
    assert settings().drain.linger > 2 * noticed_s


def test_the_balancer_waits_longer_than_a_request_may_take_and_keeps_no_connection_too_long() -> None:
    found = ServerSettings()
    assert duration_of("timeout server") > found.inference.default_timeout
    assert duration_of("timeout http-keep-alive") < found.http.keepalive_timeout


def test_the_replicas_of_the_balancer_are_where_the_server_listens() -> None:
    found = settings()
    http, grpc = (
        re.findall(rf"^    server \w (\S+):{port} ", BALANCER, re.MULTILINE)
        for port in (found.http.port, found.grpc.port)
    )
    assert http == grpc
    assert found.host in http
