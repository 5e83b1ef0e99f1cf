"""The shipped config is one that Ray Serve takes, and what it names is there."""

from typing import Any

import pytest
import yaml

from onnxd.ray_serve.settings import replica_settings
from tests.support.server import ROOT

schema = pytest.importorskip("ray.serve.schema", reason="needs the extra 'ray'")

TEXT = (ROOT / "deploy/ray/serve.yaml").read_text()


def config() -> Any:
    return yaml.safe_load(TEXT)


def strays(given: Any, read: Any, place: str = "") -> list[str]:
    """Keys of a document that its reader has dropped: Ray refuses few that it does not know."""
    if isinstance(given, dict):
        return [
            stray
            for key, value in given.items()
            for stray in (strays(value, read[key], f"{place}{key}.") if key in read else [f"{place}{key}"])
        ]
    if isinstance(given, list):
        pairs = zip(given, read, strict=True)
        return [
            stray
            for index, (one, other) in enumerate(pairs)
            for stray in strays(one, other, f"{place}{index}.")
        ]
    return []


def test_it_is_valid_and_nothing_of_it_is_ignored() -> None:
    read = schema.ServeDeploySchema.model_validate(config()).model_dump(mode="json", exclude_unset=True)
    assert strays(config(), read) == []


def test_what_it_imports_is_there() -> None:
    from ray._common.utils import import_attr

    document = config()
    [application] = document["applications"]
    [services] = document["grpc_options"]["grpc_servicer_functions"]
    [deployment] = application["deployments"]
    policy = deployment["autoscaling_config"]["policy"]
    assert callable(import_attr(application["import_path"]))
    assert callable(import_attr(services))
    assert callable(import_attr(policy["policy_function"])(**policy["policy_kwargs"]))


def test_its_arguments_are_settings_of_a_replica() -> None:
    [application] = config()["applications"]
    assert replica_settings(application["args"], {}).model_repository


def test_the_share_of_a_gpu_is_an_option_that_ray_takes() -> None:
    shared = yaml.safe_load(TEXT.replace("# num_gpus", "num_gpus"))
    read = schema.ServeDeploySchema.model_validate(shared)
    assert read.applications[0].deployments[0].ray_actor_options.num_gpus == 0.25
