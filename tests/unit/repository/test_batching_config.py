"""The keys below `batching`: what the scheduler makes of them, and what cannot hold together."""

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.config_file import parse_model_config
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.queue_policy import QueuePolicy


def policy_of(text: str) -> BatchPolicy:
    return parse_model_config(text.encode()).config.batching.policy()


def faults_of(text: str) -> str:
    with pytest.raises(LoadFailed) as caught:
        parse_model_config(text.encode())
    return caught.value.message


def test_every_key_reaches_the_scheduler() -> None:
    assert policy_of(
        """
max_batch_size: 8
batching:
  max_queue_delay: 5ms
  preferred_sizes: [2, 4]
  max_queue_size: 9
  max_queue_bytes: 1MiB
  default_timeout: 2s
  timeout_action: delay
  allow_timeout_override: false
  priority_levels: 3
  default_priority: 2
  priorities:
    1: {max_queue_size: 4}
    "3": {default_timeout: 1s, timeout_action: reject, allow_timeout_override: true}
"""
    ) == BatchPolicy(
        max_queue_delay=0.005,
        max_queue_size=9,
        max_queue_bytes=2**20,
        default_timeout=2.0,
        allow_timeout_override=False,
        timeout_action="delay",
        preferred_sizes=(2, 4),
        priority_levels=3,
        default_priority=2,
        priorities={1: QueuePolicy(4, 2.0, "delay", False), 3: QueuePolicy(9, 1.0, "reject", True)},
    )


def test_an_order_may_be_kept_of_a_single_level() -> None:
    policy = policy_of("batching: {preserve_ordering: true, priority_levels: 1, default_timeout: 1s}")
    assert policy.preserve_ordering


def test_an_order_may_be_kept_where_delays_are_for_those_that_ask_only() -> None:
    assert policy_of("batching: {preserve_ordering: true, timeout_action: delay}").preserve_ordering


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "max_batch_size: 8\nbatching:\n  max_queue_delay: 1ms\n  preferred_sizes: [4, 16]\n",
            "config.yaml:4:24: batching.preferred_sizes[1]: 16 rows are more than max_batch_size, which is 8",
            id="a preferred size over the maximum",
        ),
        pytest.param(
            "max_batch_size: 8\nbatching: {max_queue_delay: 1ms, preferred_sizes: [0]}\n",
            "batching.preferred_sizes[0]: expected an integer from 1 to 1000000, got 0",
            id="a preferred size of nothing",
        ),
        pytest.param(
            "max_batch_size: 8\nbatching: {preferred_sizes: [4]}\n",
            "batching.preferred_sizes: needs max_queue_delay",
            id="preferred sizes without a delay",
        ),
        pytest.param(
            "batching: {preferred_sizes: [4]}\n",
            "batching.preferred_sizes: needs a max_batch_size of at least 1",
            id="preferred sizes without batches",
        ),
        pytest.param(
            "batching:\n  priority_levels: 2\n  preserve_ordering: true\n",
            "config.yaml:3:22: batching.preserve_ordering: cannot be kept with priority_levels, by which "
            "later requests go first; leave one of the two out",
            id="an order with levels",
        ),
        pytest.param(
            "batching:\n  timeout_action: delay\n  default_timeout: 1s\n  preserve_ordering: true\n",
            "config.yaml:2:19: batching.timeout_action: delay cannot be had with preserve_ordering: a "
            "request that is delayed would hold up the answers of all behind it; use reject",
            id="an order with delay and a timeout",
        ),
        pytest.param(
            "batching:\n  preserve_ordering: true\n  priority_levels: 1\n  priorities:\n"
            "    1: {timeout_action: delay, default_timeout: 1s}\n",
            "config.yaml:5:25: batching.priorities.1.timeout_action: delay cannot be had with preserve_order",
            id="an order with delay and a timeout of its level",
        ),
        pytest.param(
            "batching: {timeout_action: delay, allow_timeout_override: false}\n",
            "batching.timeout_action: delay needs a default_timeout, or allow_timeout_override",
            id="delay of what never times out",
        ),
        pytest.param(
            "batching: {priority_levels: 2, default_priority: 3}\n",
            "batching.default_priority: expected a level from 1 to priority_levels, which is 2, got 3",
            id="a default that is no level",
        ),
        pytest.param(
            "batching: {default_priority: 1}\n",
            "batching.default_priority: expected a level from 1 to priority_levels, which is 0, got 1",
            id="a default without levels",
        ),
        pytest.param(
            "batching: {priority_levels: 2, priorities: {3: {max_queue_size: 1}}}\n",
            "batching.priorities.3: expected a level from 1 to priority_levels, which is 2, got 3",
            id="a policy of no level",
        ),
        pytest.param(
            "batching: {priority_levels: 2, priorities: {high: {max_queue_size: 1}}}\n",
            "batching.priorities.high: expected a priority level from 1 to 1000, got 'high'",
            id="a level that is no number",
        ),
        pytest.param(
            "batching: {priority_levels: 2, priorities: {1: {timeout_action: drop}}}\n",
            "batching.priorities.1.timeout_action: expected one of reject, delay, got 'drop'",
            id="an action that there is not",
        ),
        pytest.param(
            "batching: {priority_levels: 2, priorities: {1: {max_queue: 1}}}\n",
            "batching.priorities.1.max_queue: unknown key; did you mean max_queue_size?",
            id="a misspelt key of a level",
        ),
        pytest.param(
            "batching: {priority_levels: -1}\n",
            "batching.priority_levels: expected an integer from 0 to 1000, got -1",
            id="a negative number of levels",
        ),
        pytest.param(
            "batching: {max_queue_delay: -1ms}\n",
            "batching.max_queue_delay: expected a duration with a unit (us, ms, s, m, h), such as '5ms', got",
            id="a negative delay",
        ),
        pytest.param(
            "batching: {priority_levels: 1, priorities: {1: {default_timeout: -3ms}}}\n",
            "batching.priorities.1.default_timeout: expected a duration with a unit (us, ms, s, m, h), such",
            id="a negative timeout of a level",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place_and_the_mend(text: str, expected: str) -> None:
    assert expected in faults_of(text)
