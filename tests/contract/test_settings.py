"""Trace and log settings as tritonclient reads and changes them, over both protocols."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from onnxd.telemetry.setup import TracingConfig
from tests.contract.setting_clients import CLIENTS, Connect, Refused, SettingClient, Settings
from tests.support.graphs import add_one
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY_LISTENS = "http://127.0.0.1:1/traces?token=secret"
AT_THE_START = {
    "trace_level": ["TIMESTAMPS"],
    "trace_rate": ["1"],
    "trace_count": ["-1"],
    "trace_mode": ["opentelemetry"],
    "url": ["http://127.0.0.1:1/traces"],
    "resource": ["service.name=onnxd"],
    "bsp_max_queue_size": ["8192"],
    "bsp_schedule_delay": ["1000"],
    "bsp_max_export_batch_size": ["512"],
}
CLEARED = {"trace_level": None, "trace_rate": None, "trace_count": None}
LOG_AT_THE_START = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "ISO8601",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """It has a collector, though one that is away, and two models, one of them broken."""
    root = tmp_path_factory.mktemp("settings")
    publish(root / "models", "free", 1, add_one(("n",)))
    publish(root / "models", "broken", 1, b"this is no graph")
    tracing = TracingConfig(NOBODY_LISTENS, "http/protobuf", headers={"x-key": "secret"})
    async with running_server(root / "models", root / "state", tracing=tracing) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CLIENTS.values(), ids=CLIENTS.keys())
async def client(request: pytest.FixtureRequest, server: RunningServer) -> AsyncIterator[SettingClient]:
    """Each client in turn. All settings are as at the start before each."""
    connect: Connect = request.param
    async with connect(server.http.removeprefix("http://"), server.grpc) as connected:
        yield connected


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def as_at_the_start(client: SettingClient) -> AsyncIterator[None]:
    yield
    for model in ("free", "broken", ""):
        await client.change_trace(CLEARED, model)
    await client.change_log(LOG_AT_THE_START)


# Traces.


async def test_trace_settings_say_what_is_traced_and_where_it_goes_but_no_secret(
    client: SettingClient,
) -> None:
    assert await client.trace() == AT_THE_START
    assert await client.trace("free") == AT_THE_START


async def test_trace_settings_are_changed_for_all_models_and_cleared(client: SettingClient) -> None:
    change = {"trace_level": ["OFF"], "trace_rate": "10", "trace_count": "3"}
    changed = {"trace_level": ["OFF"], "trace_rate": ["10"], "trace_count": ["3"]}
    assert await client.change_trace(change) == AT_THE_START | changed
    assert await client.trace() == await client.trace("free") == AT_THE_START | changed
    assert await client.change_trace(CLEARED) == AT_THE_START


async def test_trace_settings_of_a_model_are_its_own(client: SettingClient) -> None:
    own = await client.change_trace({"trace_rate": "5"}, "free")
    assert own == AT_THE_START | {"trace_rate": ["5"]}
    assert await client.trace() == AT_THE_START
    await client.change_trace({"trace_rate": "7", "trace_count": "9"})
    assert await client.trace("free") == AT_THE_START | {"trace_rate": ["5"], "trace_count": ["9"]}
    cleared = await client.change_trace({"trace_rate": None}, "free")
    assert cleared == AT_THE_START | {"trace_rate": ["7"], "trace_count": ["9"]}


async def test_a_model_that_did_not_load_has_trace_settings_too(client: SettingClient) -> None:
    assert (await client.change_trace({"trace_rate": "2"}, "broken"))["trace_rate"] == ["2"]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"trace_mode": "triton", "url": "http://evil", "nonsense": "1"}, id="other keys"),
        pytest.param({"trace_file": None, "log_frequency": None}, id="clearing a file"),
        pytest.param({"trace_level": ["TIMESTAMPS", "TIMESTAMPS"]}, id="what is so already"),
        pytest.param({"log_frequency": "0"}, id="a log frequency of zero"),
    ],
)
async def test_what_changes_nothing_is_answered_with_what_holds(
    client: SettingClient, settings: Settings
) -> None:
    assert await client.change_trace(settings) == AT_THE_START


async def test_trace_settings_that_were_read_can_be_written_back(client: SettingClient) -> None:
    await client.change_trace({"trace_rate": "4"})
    read = {key: value if key == "trace_level" else value[0] for key, value in (await client.trace()).items()}
    assert await client.change_trace(read) == AT_THE_START | {"trace_rate": ["4"]}


@pytest.mark.parametrize("model", ["", "free"])
@pytest.mark.parametrize(
    ("settings", "status", "named"),
    [
        pytest.param({"trace_rate": "often"}, "400", "'often'", id="K2-rate-that-is-no-number"),
        pytest.param({"trace_rate": "-1"}, "400", "trace_rate", id="K2-negative-rate"),
        pytest.param({"trace_rate": "4294967296"}, "400", "4294967295", id="K2-rate-too-large"),
        pytest.param({"trace_rate": "1" * 5000}, "400", "trace_rate", id="K2-rate-of-5000-digits"),
        pytest.param({"trace_rate": "1.5"}, "400", "'1.5'", id="K2-broken-rate"),
        pytest.param({"trace_rate": ""}, "400", "''", id="K2-empty-rate"),
        pytest.param({"trace_rate": "٣"}, "400", "trace_rate", id="K2-rate-in-other-digits"),
        pytest.param({"trace_rate": ["1", "2"]}, "400", "one value", id="K2-two-rates"),
        pytest.param({"trace_count": "-2"}, "400", "-1", id="K2-count-below-none"),
        pytest.param({"trace_count": "2147483648"}, "400", "trace_count", id="K2-count-too-large"),
        pytest.param({"trace_level": ["LOUD"]}, "400", "'LOUD'", id="K2-unknown-level"),
        pytest.param({"trace_level": ["off"]}, "400", "'off'", id="K2-level-in-small-letters"),
        pytest.param({"trace_level": ["OFF", "TIMESTAMPS"]}, "400", "alone", id="K2-off-and-on"),
        pytest.param({"trace_level": ["OFF\nforged"]}, "400", r"OFF\nforged", id="K2-line-break"),
        pytest.param({"trace_level": ["TENSORS"]}, "501", "TENSORS", id="K2-tensors"),
        pytest.param({"log_frequency": "5"}, "501", "log_frequency", id="K2-rotating-files"),
        pytest.param({"log_frequency": "x"}, "400", "log_frequency", id="K2-frequency-that-is-no-number"),
    ],
)
async def test_bad_trace_settings_are_refused_and_change_nothing(
    client: SettingClient, settings: Settings, status: str, named: str, model: str
) -> None:
    with pytest.raises(Refused) as refused:
        await client.change_trace({"trace_level": ["OFF"], **settings, "trace_count": "1"} | settings, model)
    assert refused.value.status == status
    assert named in refused.value.message
    assert refused.value.message.isprintable()
    assert await client.trace(model) == AT_THE_START


@pytest.mark.parametrize("model", ["nothing", "x" * 200, "a..b", "free\n"])
async def test_trace_settings_of_what_is_no_model_are_refused(client: SettingClient, model: str) -> None:
    status = "404" if model == "nothing" else "400"
    with pytest.raises(Refused) as refused:
        await client.trace(model)
    assert refused.value.status == status
    with pytest.raises(Refused) as refused:
        await client.change_trace({"trace_rate": "2"}, model)
    assert refused.value.status == status


# Files.


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """A path that a client would like to be written to. Nothing is."""
    path = tmp_path / "written"
    yield path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["{}", "file://{}", "../../{}", "{}\0"])
async def test_K1_a_trace_file_is_refused_and_nothing_is_written(
    client: SettingClient, target: Path, form: str
) -> None:
    for model in ("", "free"):
        with pytest.raises(Refused) as refused:
            await client.change_trace({"trace_file": form.format(target), "trace_rate": "2"}, model)
        assert (refused.value.status, "trace_file" in refused.value.message) == ("501", True)
        assert str(target) not in refused.value.message
        assert await client.trace(model) == AT_THE_START


@pytest.mark.parametrize("form", ["{}", "file://{}", "../../{}", "{}\0"])
async def test_K1_a_log_file_is_refused_and_nothing_is_written(
    client: SettingClient, target: Path, form: str
) -> None:
    with pytest.raises(Refused) as refused:
        await client.change_log({"log_file": form.format(target), "log_verbose_level": 1})
    assert (refused.value.status, "log_file" in refused.value.message) == ("501", True)
    assert str(target) not in refused.value.message
    assert await client.log() == LOG_AT_THE_START


# Logs.


async def test_log_settings_say_what_is_logged(client: SettingClient) -> None:
    assert await client.log() == LOG_AT_THE_START


@pytest.mark.parametrize(
    "settings",
    [
        {"log_info": False},
        {"log_warning": False, "log_error": False},
        {"log_verbose_level": 1},
        {"log_verbose_level": 2**32 - 1},
        {"log_format": "default"},
        {"log_file": ""},
    ],
    ids=str,
)
async def test_log_settings_are_changed_and_answered(client: SettingClient, settings: Settings) -> None:
    assert await client.change_log(settings) == LOG_AT_THE_START | settings
    assert await client.log() == LOG_AT_THE_START | settings


async def test_a_log_setting_that_is_none_stays_as_it_is(client: SettingClient) -> None:
    await client.change_log({"log_info": False, "log_format": "default"})
    left = dict.fromkeys(LOG_AT_THE_START)
    assert await client.change_log(left) == LOG_AT_THE_START | {"log_info": False, "log_format": "default"}


async def test_log_settings_that_were_read_can_be_written_back(client: SettingClient) -> None:
    await client.change_log({"log_verbose_level": 3})
    read = await client.log()
    assert await client.change_log(read) == read


@pytest.mark.parametrize("form", ["", "iso8601", "json", "ISO8601\n"], ids="K2-form-{!r}".format)
async def test_an_unknown_form_of_log_is_refused_and_changes_nothing(
    client: SettingClient, form: str
) -> None:
    with pytest.raises(Refused) as refused:
        await client.change_log({"log_format": form, "log_info": False})
    assert (refused.value.status, "log_format" in refused.value.message) == ("400", True)
    assert refused.value.message.isprintable()
    assert await client.log() == LOG_AT_THE_START
