"""The protocol through Ray Serve: two replicas behind Ray's proxies, asked as one server is."""

from collections.abc import Iterator

import pytest

from tests.contract import test_client_inference, test_client_questions
from tests.contract.stand import fill
from tests.support.ray_cluster import RayCluster, ray_cluster

pytest.importorskip("ray.serve", reason="needs the extra 'ray'")
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(240)]

NOT_HERE = {
    "test_an_unloaded_model_answers_again_after_it_was_loaded": "a load would reach one replica",
    "test_unloading_what_is_not_there_is_no_error": "likewise",
    "test_loading_what_is_not_there_is_not_found": "likewise",
    "test_loading_what_is_broken_says_why": "likewise",
    "test_the_samples_hold_what_breaks_converters": "asks no server",
}
"""What of the two tables is not asked of Ray, and why."""

for _module in (test_client_inference, test_client_questions):
    for _name, _test in vars(_module).items():
        if _name.startswith("test_") and _name not in NOT_HERE:
            globals()[_name] = _test


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    room = tmp_path_factory.mktemp("ray")
    repository = room / "models"
    repository.mkdir()
    fill(repository, {*test_client_inference.MODELS, *test_client_questions.MODELS})
    deployment = {"num_replicas": 2, "ray_actor_options": {"num_cpus": 1}}
    with ray_cluster(repository, room, {}, deployment, cpus=3) as cluster:
        yield cluster
