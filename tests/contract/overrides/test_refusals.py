"""Rows H2 to H11 of the table of bad input: a load that is refused changes nothing and leaves nothing."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import numpy as np
import pytest
import pytest_asyncio

from tests.contract.overrides.conftest import MOST_BYTES, Client, tree
from tests.contract.wire_client import Kind, Refused, Request
from tests.support.graphs import identity, row_constant
from tests.support.server import RunningServer
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS: Final[dict[str, Any]] = {"model_overrides": True}
GRAPH: Final = row_constant(9)
FILES: Final = {"file:1/model.onnx": GRAPH}


@pytest_asyncio.fixture(loop_scope="module")
async def unchanged(client: Client, server: RunningServer) -> AsyncIterator[None]:
    """What serves, what the index says, and every file of the repository and around it are as before."""
    root, repository = server.repository.parent, tree(server.repository)
    before = tree(root)
    served = server.server.inference.served("one", None)
    index = await client.index()
    yield
    assert tree(server.repository) == repository
    # What was loaded on the way, now or by the test before, is let go without being waited for.
    await until(lambda: tree(root).items() <= before.items())
    assert server.server.inference.served("one", None) is served
    assert await client.index() == index
    reply = await client.infer("one", Request({"x": np.zeros((1, 4), np.float32)}))
    assert reply.outputs["y"].tolist() == [[1]]


async def refusal(
    client: Client, model: str = "one", config: str | None = None, files: Mapping[str, bytes] | None = None
) -> Refused:
    with pytest.raises(Refused) as caught:
        await client.load(model, config=config, files=files)
    return caught.value


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("model", "config", "files", "kind", "text"),
    [
        pytest.param("nothing", None, None, Kind.NOT_FOUND, "has no such directory", id="H2-unknown"),
        pytest.param(
            "nothing", "{}", None, Kind.NOT_FOUND, "has no such directory", id="H2-unknown-with-config"
        ),
        pytest.param(
            "one", "{}", {"file:1/model.onnx": b"no graph"}, Kind.INVALID, "model.onnx", id="H2-broken"
        ),
        pytest.param(
            "new",
            "{}",
            {"file:1/model.onnx": b"no graph"},
            Kind.INVALID,
            "model.onnx",
            id="H2-broken-and-new",
        ),
        pytest.param("one", "{}", {"file:1/model.onnx": b""}, Kind.INVALID, "is empty", id="H2-empty"),
        pytest.param(
            "one",
            '{"version_policy": {"all": {}}}',
            {**FILES, "file:2/model.onnx": b"no graph"},
            Kind.INVALID,
            "model.onnx",
            id="H2-one-of-two-broken",
        ),
        pytest.param(
            "one",
            "{}",
            {"file:1/other.onnx": GRAPH},
            Kind.INVALID,
            "no file 'model.onnx' but other.onnx",
            id="H2-another-name",
        ),
        pytest.param(
            "one",
            '{"version_policy": {"specific": {"versions": [5]}}}',
            FILES,
            Kind.INVALID,
            "chosen by 'version_policy' in its config",
            id="H2-no-version-chosen",
        ),
    ],
)
async def test_a_load_that_fails(
    client: Client, model: str, config: str | None, files: Mapping[str, bytes] | None, kind: Kind, text: str
) -> None:
    refused = await refusal(client, model, config, files)
    assert refused.kind is kind
    assert text in refused.message


@pytest.mark.usefixtures("unchanged")
async def test_H2_an_unload_of_what_is_not_there_is_no_error(client: Client) -> None:
    await client.unload("nothing")


def nested(depth: int) -> str:
    return '{"input": ' + "[" * depth + "]" * depth + "}"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("config", "text"),
    [
        pytest.param("", "config", id="H4-nothing"),
        pytest.param("{", "'config': the request's JSON cannot be read", id="H4-invalid-JSON"),
        pytest.param("[]", "JSON object", id="H4-a-list"),
        pytest.param("1", "JSON object", id="H4-a-number"),
        pytest.param('{"name": NaN}', "config: ", id="H4-not-a-number"),
        pytest.param('{"max_batch_size": 1, "max_batch_size": 2}', "gives a key twice", id="H4-a-key-twice"),
        pytest.param(nested(50), "nests deeper than the maximum of 16", id="H4-nested"),
        pytest.param(nested(100_000), "'config': the request's JSON", id="H4-nested-deep"),
        pytest.param(
            '{"max_batch_sise": 1}',
            "unknown field 'max_batch_sise'; did you mean max_batch_size?",
            id="H4-unknown-key",
        ),
        pytest.param(
            '{"input": [{"dimz": [1]}]}',
            "input[0]: unknown field 'dimz'; did you mean dims?",
            id="H4-unknown-key-inside",
        ),
        pytest.param(
            '{"input": {"name": "x"}}', "config: repeated field input must be in []", id="H4-no-list"
        ),
        pytest.param('{"max_batch_size": "many"}', "config: ", id="H4-wrong-type"),
        pytest.param('{"max_batch_size": 99999999999}', "config: ", id="H4-number-too-large"),
        pytest.param('{"max_batch_size": 1.5}', "config: ", id="H4-half-a-row"),
        pytest.param('{"input": [{"data_type": "TYPE_FP23"}]}', "TYPE_FP23", id="H4-unknown-type"),
        pytest.param('{"name": "\\ud800"}', "", id="H4-lone-surrogate"),
        pytest.param('{"parameters": {"a": 1}}', "config: ", id="H4-parameter-of-no-text"),
        pytest.param(
            '{"dynamic_batching": {"priority_queue_policy": {"x": {}}}}',
            "config: ",
            id="H4-level-of-no-number",
        ),
        pytest.param('{"dynamic_batching": {}, "sequence_batching": {}}', "config: ", id="H4-two-schedulers"),
        pytest.param(
            '{"name": "other"}', "name: expected the directory's name 'one', got 'other'", id="H4-other-name"
        ),
        pytest.param(
            '{"platform": "tensorrt_plan"}', "platform: expected 'onnxruntime_onnx'", id="H4-other-platform"
        ),
        pytest.param(
            '{"instance_group": [{"kind": "KIND_GPU"}]}',
            "provider 'CUDAExecutionProvider' is not available",
            id="H4-other-provider",
        ),
        pytest.param(
            '{"instance_group": [{"count": 1000000000}]}',
            "instance_group[0].count: expected an integer from 1 to 64",
            id="H4-huge-instance-count",
        ),
        pytest.param(
            '{"default_model_filename": "../../x"}',
            "default_model_filename: expected a plain file name",
            id="H4-file-elsewhere",
        ),
        pytest.param(
            '{"output": [{"name": "y", "label_filename": "/etc/passwd"}]}',
            "label_filename: expected a plain file name",
            id="H4-labels-elsewhere",
        ),
        pytest.param(
            '{"model_operations": {"op_library_filename": ["x.so"]}}',
            "op_library_filename: not supported",
            id="H4-native-code",
        ),
        pytest.param(
            '{"input": [{"name": "x", "dims": [9]}]}', "input[0].dims: config says [9]", id="H4-other-shape"
        ),
        pytest.param('{"description": "' + "x" * 300_000 + '"}', "'config': the JSON has", id="H4-too-large"),
    ],
)
@pytest.mark.parametrize("files", [None, FILES], ids=["config-alone", "with-files"])
async def test_a_config_that_cannot_be(
    client: Client, config: str, text: str, files: Mapping[str, bytes] | None
) -> None:
    refused = await refusal(client, config=config, files=files)
    assert refused.kind is Kind.INVALID
    assert text in refused.message
    assert "\n" not in refused.message or text in refused.message.splitlines()[0]


ELSEWHERE: Final = {
    "up": "../x", "up-twice": "../../../x", "absolute": "/etc/x", "absolute-in-a-version": "1//tmp/x",
    "up-inside": "1/../../x", "up-to-the-config": "1/../config.pbtxt", "a-link": "link/model.onnx",
    "a-link-inside": "1/link/model.onnx", "backslashes": "1\\..\\x", "nothing": "", "a-version-alone": "1/",
    "no-version": "model.onnx", "version-0": "0/model.onnx", "version-01": "01/model.onnx",
    "negative-version": "-1/model.onnx", "huge-version": f"{10**18}/model.onnx", "dot": "1/.", "dots": "1/..",
    "hidden": "1/.model.onnx", "NUL": "1/mod\0el.onnx", "newline": "1/model.onnx\n", "space": "1/a b.onnx",
    "percent": "1/%2e%2e/x.onnx", "a-library": "1/x.so", "a-script": "1/x.py", "a-config": "config.pbtxt",
    "a-yaml": "config.yaml", "other-digits": "\u0661/model.onnx", "wide-dots": "1/\uff0e\uff0e/x.onnx",
}  # fmt: skip


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("path", ELSEWHERE.values(), ids=[f"H8-{name}" for name in ELSEWHERE])
async def test_a_file_that_would_lie_elsewhere(client: Client, server: RunningServer, path: str) -> None:
    link = server.repository / "one" / "link"
    if not link.is_symlink():
        link.symlink_to(server.repository.parent, target_is_directory=True)
    refused = await refusal(client, config="{}", files={**FILES, f"file:{path}": b"x"})
    assert refused.kind is Kind.INVALID
    assert "is not valid: expected 'file:<version>/<file>'" in refused.message


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("files", "text"),
    [
        pytest.param({f"file:1/{'x' * 256}.onnx": b"x"}, "is not valid", id="H9-256-characters"),
        pytest.param({f"file:1/{'x' * 100_000}.onnx": b"x"}, "is not valid", id="H9-100000-characters"),
        pytest.param(
            {f"file:1/w{index}.bin": b"x" for index in range(10_000)}, "at most 64 files", id="H9-10000-files"
        ),
        pytest.param({f"file:{'1/' * 500}model.onnx": b"x"}, "is not valid", id="H9-deep"),
        pytest.param(
            {f"file:{'1' * 5000}/model.onnx": b"x"}, "is not valid", id="H9-a-version-of-5000-digits"
        ),
    ],
)
async def test_files_beyond_bounds(client: Client, files: Mapping[str, bytes], text: str) -> None:
    refused = await refusal(client, config="{}", files=files)
    assert refused.kind is Kind.INVALID
    assert text in refused.message


@pytest.mark.usefixtures("unchanged")
async def test_H10_files_larger_than_allowed(client: Client) -> None:
    for files in (
        {"file:1/model.onnx": bytes(MOST_BYTES + 3)},
        {
            "file:1/model.onnx": GRAPH,
            "file:1/a.bin": bytes(MOST_BYTES // 2),
            "file:1/b.bin": bytes(MOST_BYTES // 2),
        },
    ):
        refused = await refusal(client, config="{}", files=files)
        assert refused.kind is Kind.TOO_LARGE
        assert "limits.max_override_bytes" in refused.message


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("model", ["one", "new"])
async def test_H11_files_without_a_config(client: Client, model: str) -> None:
    refused = await refusal(client, model, files=FILES)
    assert refused.kind is Kind.INVALID
    assert "'file:1/model.onnx' needs the parameter 'config' beside it" in refused.message


@pytest.mark.usefixtures("unchanged")
async def test_labels_without_a_model(client: Client) -> None:
    refused = await refusal(client, config="{}", files={"file:labels.txt": b"a"})
    assert refused.kind is Kind.INVALID
    assert "have no version; add file:1/model.onnx" in refused.message


async def test_the_server_answers_rightly_after_all_of_it(client: Client, server: RunningServer) -> None:
    await client.load(
        "one", config=json.dumps({"max_batch_size": 2}), files={"file:1/model.onnx": identity()}
    )
    reply = await client.infer("one", Request({"x": np.ones((2, 4), np.float32)}))
    assert reply.outputs["y"].tolist() == np.ones((2, 4)).tolist()
    await client.load("one")
