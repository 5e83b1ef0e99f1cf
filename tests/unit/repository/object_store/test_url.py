"""What may be written for a repository, and that nothing of a URL with a secret in it is ever shown."""

from pathlib import Path

import pytest

from onnxd.repository.object_store.config import ObjectStoreConfig
from onnxd.repository.object_store.roots import RemoteRoots
from onnxd.repository.object_store.url import ObjectUrl, parse_url
from onnxd.settings.loading import FaultySettings, LoadedSettings, load_settings
from onnxd.settings.server_settings import ServerSettings
from onnxd.workers.relay import from_json, to_json

SECRET = "wJalrXUtnFEMI"  # noqa: S105 made up


def loaded(*repositories: str, **environment: str) -> LoadedSettings:
    return load_settings(config=None, environment=environment, flags={("model_repository",): repositories})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://models", ObjectUrl("s3", "models", "")),
        ("s3://models/", ObjectUrl("s3", "models", "")),
        ("s3://my.models-1/team/a", ObjectUrl("s3", "my.models-1", "team/a")),
        ("gs://models/team/a/", ObjectUrl("gs", "models", "team/a")),
        ("az://container/repository", ObjectUrl("az", "container", "repository")),
    ],
)
def test_a_url_is_a_scheme_a_bucket_and_a_prefix(text: str, expected: ObjectUrl) -> None:
    assert parse_url(text) == expected
    assert parse_url(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"s3://AKIA:{SECRET}@models/a", f"az://models/a?sig={SECRET}", f"https://{SECRET}.example/a", "s3://",
        "s3:///a", "s3://Models", "s3://models/../other", "s3://models/a//b", "s3://models/a\nb", "S3://models",
        "s3://models/a#b", "s3://models/./a", "file:///models",
    ],
)  # fmt: skip
def test_what_is_no_such_url_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(FaultySettings) as caught:
        loaded(text)

    (fault,) = caught.value.faults
    assert fault.startswith("--model-repository: ")
    assert "expected s3://BUCKET/PREFIX" in fault
    assert SECRET not in fault


def test_directories_and_urls_are_named_side_by_side() -> None:
    settings = loaded("models", "s3://models/a", "./s3:/local").settings

    assert settings.model_repository == (Path("models"), "s3://models/a", Path("s3:/local"))


def test_a_variable_names_several_with_commas() -> None:
    settings = load_settings(
        config=None, environment={"ONNXD_MODEL_REPOSITORY": "models,gs://bucket/a"}, flags={}
    ).settings

    assert settings.model_repository == (Path("models"), "gs://bucket/a")


def test_a_worker_is_told_the_same_repositories() -> None:
    settings = loaded("models", "s3://models/a").settings

    assert from_json(ServerSettings, to_json(ServerSettings, settings)) == settings


@pytest.mark.parametrize(
    "endpoint",
    [
        f"http://user:{SECRET}@127.0.0.1:9000",
        f"http://127.0.0.1/?key={SECRET}",
        "127.0.0.1:9000",
        "ftp://host",
    ],
)
def test_an_endpoint_is_plain_and_is_not_repeated_when_it_is_not(endpoint: str) -> None:
    with pytest.raises(FaultySettings) as caught:
        loaded("s3://models", ONNXD_OBJECT_STORE_ENDPOINT=endpoint)

    (fault,) = caught.value.faults
    assert fault == (
        "ONNXD_OBJECT_STORE_ENDPOINT: expected http://HOST:PORT or https://HOST:PORT, without credentials or "
        "parameters"
    )


def test_an_endpoint_without_tls_has_to_be_allowed() -> None:
    environment = {"ONNXD_OBJECT_STORE_ENDPOINT": "http://127.0.0.1:9000"}
    with pytest.raises(FaultySettings, match="allow_http: true"):
        loaded("s3://models", **environment)

    loaded("s3://models", ONNXD_OBJECT_STORE_ALLOW_HTTP="true", **environment)


def test_each_url_and_endpoint_has_a_copy_of_its_own(tmp_path: Path) -> None:
    urls = ("s3://models/a", "s3://models/b", "gs://models/a")
    first = RemoteRoots(urls, ObjectStoreConfig(), tmp_path).directories
    second = RemoteRoots(urls, ObjectStoreConfig(endpoint="http://127.0.0.1:9000"), tmp_path).directories

    assert len({*first, *second}) == 6
    assert {path.parent for path in first} == {tmp_path}
