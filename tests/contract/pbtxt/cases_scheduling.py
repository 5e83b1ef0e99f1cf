"""The fields about how requests wait and are put together."""

from collections.abc import Callable
from typing import Final

from onnxd.scheduler.queue_policy import QueuePolicy
from tests.contract.pbtxt.case import (
    BATCHED,
    DYNAMIC,
    Case,
    Refuses,
    Seen,
    Takes,
    Warns,
)

LEVELS: Final = f"{DYNAMIC} {{ priority_levels: 2 default_priority_level: 1"


def policy_of(level: int, text: str) -> str:
    return f"priority_queue_policy {{ key: {level} value {{ {text} }} }}"


def own_policy(key: str, field: str = "") -> Callable[[Seen], object]:
    """What the scheduler goes by for level 2, and what is shown of it."""
    return lambda seen: (
        getattr(seen.config.batching.policy().priorities[2], key),
        seen.shown["dynamic_batching"]["priority_queue_policy"]["2"][field or key],
    )


CASES: Final = (
    Case(
        "dynamic_batching.preferred_batch_size",
        f"{DYNAMIC} {{ preferred_batch_size: [8] }}",
        Takes(lambda seen: seen.shown["dynamic_batching"]["preferred_batch_size"], [8]),
    ),
    Case(
        "dynamic_batching.preferred_batch_size",
        f"{DYNAMIC} {{ preferred_batch_size: [4, 8] max_queue_delay_microseconds: 100 }}",
        Takes(
            lambda seen: (
                seen.config.batching.preferred_sizes,
                seen.shown["dynamic_batching"]["preferred_batch_size"],
            ),
            ((4, 8), [4, 8]),
        ),
        "of less",
    ),
    Case(
        "dynamic_batching.preferred_batch_size",
        f"{DYNAMIC} {{ preferred_batch_size: [4, 8] }}",
        Warns("dynamic_batching.preferred_batch_size: has no effect: without max_queue_delay_microseconds"),
        "without a delay",
    ),
    Case(
        "dynamic_batching.preferred_batch_size",
        f"{DYNAMIC} {{ preferred_batch_size: [16] }}",
        Refuses(
            "dynamic_batching.preferred_batch_size[0]: expected sizes from 1 to max_batch_size, which is 8"
        ),
        "of more",
    ),
    Case(
        "dynamic_batching.max_queue_delay_microseconds",
        f"{DYNAMIC} {{ max_queue_delay_microseconds: 1500 }}",
        Takes(
            lambda seen: (
                seen.config.batching.max_queue_delay,
                seen.shown["dynamic_batching"]["max_queue_delay_microseconds"],
            ),
            (0.0015, 1500),
        ),
    ),
    Case(
        "dynamic_batching.max_queue_delay_microseconds",
        "dynamic_batching { max_queue_delay_microseconds: 1500 }",
        Warns("max_queue_delay_microseconds: has no effect without a stated max_batch_size"),
        "without batches",
    ),
    Case(
        "dynamic_batching.preserve_ordering",
        f"{DYNAMIC} {{ preserve_ordering: true }}",
        Takes(
            lambda seen: (
                seen.config.batching.preserve_ordering,
                seen.shown["dynamic_batching"]["preserve_ordering"],
            ),
            (True, True),
        ),
    ),
    Case(
        "dynamic_batching.preserve_ordering",
        f"{DYNAMIC} {{ preserve_ordering: true priority_levels: 2 default_priority_level: 1 }}",
        Refuses("dynamic_batching.preserve_ordering: cannot be kept with priority_levels"),
        "with levels",
    ),
    Case(
        "dynamic_batching.preserve_ordering",
        f"{DYNAMIC} {{ preserve_ordering: true "
        f"default_queue_policy {{ timeout_action: DELAY default_timeout_microseconds: 900 }} }}",
        Refuses("default_queue_policy.timeout_action: delay cannot be had with preserve_ordering"),
        "with delay",
    ),
    Case(
        "dynamic_batching.priority_levels",
        f"{DYNAMIC} {{ priority_levels: 2 default_priority_level: 1 }}",
        Takes(
            lambda seen: (
                seen.config.batching.priority_levels,
                seen.shown["dynamic_batching"]["priority_levels"],
            ),
            (2, 2),
        ),
    ),
    Case(
        "dynamic_batching.priority_levels",
        f"{DYNAMIC} {{ priority_levels: 5000 default_priority_level: 1 }}",
        Refuses("dynamic_batching.priority_levels: expected an integer from 0 to 1000, got 5000"),
        "beyond bounds",
    ),
    Case(
        "dynamic_batching.default_priority_level",
        f"{DYNAMIC} {{ priority_levels: 3 default_priority_level: 2 }}",
        Takes(
            lambda seen: (
                seen.config.batching.default_priority,
                seen.shown["dynamic_batching"]["default_priority_level"],
            ),
            (2, 2),
        ),
    ),
    Case(
        "dynamic_batching.default_priority_level",
        f"{DYNAMIC} {{ priority_levels: 2 }}",
        Refuses("default_priority_level: expected a level from 1 to priority_levels, which is 2, got 0"),
        "left out",
    ),
    Case(
        "dynamic_batching.default_priority_level",
        f"{DYNAMIC} {{ default_priority_level: 1 }}",
        Warns("dynamic_batching.default_priority_level: has no effect: without priority_levels"),
        "without levels",
    ),
    Case(
        "dynamic_batching.priority_queue_policy",
        f"{DYNAMIC} {{ priority_queue_policy {{ key: 1 value {{ max_queue_size: 4 }} }} }}",
        Warns("dynamic_batching.priority_queue_policy: has no effect: without priority_levels"),
        "without levels",
    ),
    Case(
        "dynamic_batching.priority_queue_policy",
        f"{LEVELS} {policy_of(3, 'max_queue_size: 4')} }}",
        Refuses("priority_queue_policy.3: expected a level from 1 to priority_levels, which is 2, got 3"),
        "of no level",
    ),
    Case(
        "dynamic_batching.priority_queue_policy",
        f"{LEVELS} default_queue_policy {{ default_timeout_microseconds: 7 allow_timeout_override: true }} "
        f"{policy_of(2, '')} }}",
        Takes(
            lambda seen: seen.config.batching.policy().priorities,
            {2: QueuePolicy(1024, 0.0, "reject", False)},
        ),
        "that says nothing",
    ),
    Case(
        "dynamic_batching.priority_queue_policy.timeout_action",
        f"{LEVELS} {policy_of(2, 'timeout_action: DELAY default_timeout_microseconds: 5')} }}",
        Takes(own_policy("timeout_action"), ("delay", "DELAY")),
    ),
    Case(
        "dynamic_batching.priority_queue_policy.default_timeout_microseconds",
        f"{LEVELS} {policy_of(2, 'default_timeout_microseconds: 1500')} }}",
        Takes(own_policy("default_timeout", "default_timeout_microseconds"), (0.0015, 1500)),
    ),
    Case(
        "dynamic_batching.priority_queue_policy.allow_timeout_override",
        f"{LEVELS} {policy_of(2, 'allow_timeout_override: true')} }}",
        Takes(own_policy("allow_timeout_override"), (True, True)),
    ),
    Case(
        "dynamic_batching.priority_queue_policy.max_queue_size",
        f"{LEVELS} {policy_of(2, 'max_queue_size: 4')} }}",
        Takes(own_policy("max_queue_size"), (4, 4)),
    ),
    Case(
        "dynamic_batching.default_queue_policy.timeout_action",
        f"{DYNAMIC} {{ default_queue_policy {{ timeout_action: DELAY default_timeout_microseconds: 900 }} }}",
        Takes(
            lambda seen: (
                seen.config.batching.timeout_action,
                seen.config.batching.default_timeout,
                seen.shown["dynamic_batching"]["default_queue_policy"]["timeout_action"],
            ),
            ("delay", 0.0009, "DELAY"),
        ),
    ),
    Case(
        "dynamic_batching.default_queue_policy.timeout_action",
        f"{DYNAMIC} {{ default_queue_policy {{ timeout_action: DELAY }} }}",
        Takes(lambda seen: seen.config.batching.default_timeout, 0.0),
        "of no timeout",
    ),
    Case(
        "dynamic_batching.default_queue_policy.default_timeout_microseconds",
        f"{DYNAMIC} {{ default_queue_policy {{ default_timeout_microseconds: 100000 }} }}",
        Takes(
            lambda seen: (
                seen.config.batching.default_timeout,
                seen.shown["dynamic_batching"]["default_queue_policy"]["default_timeout_microseconds"],
            ),
            (0.1, 100000),
        ),
    ),
    Case(
        "dynamic_batching.default_queue_policy.allow_timeout_override",
        f"{DYNAMIC} {{ default_queue_policy {{ max_queue_size: 9 }} }}",
        Takes(
            lambda seen: (
                seen.config.batching.allow_timeout_override,
                seen.shown["dynamic_batching"]["default_queue_policy"]["allow_timeout_override"],
            ),
            (False, False),
        ),
        "left out",
    ),
    Case(
        "dynamic_batching.default_queue_policy.allow_timeout_override",
        f"{DYNAMIC} {{ default_queue_policy {{ allow_timeout_override: true }} }}",
        Takes(lambda seen: seen.config.batching.allow_timeout_override, True),
    ),
    Case(
        "dynamic_batching.default_queue_policy.max_queue_size",
        f"{DYNAMIC} {{ default_queue_policy {{ max_queue_size: 9 }} }}",
        Takes(
            lambda seen: (
                seen.config.batching.max_queue_size,
                seen.shown["dynamic_batching"]["default_queue_policy"]["max_queue_size"],
            ),
            (9, 9),
        ),
    ),
    Case(
        "dynamic_batching.default_queue_policy.max_queue_size",
        f"{DYNAMIC} {{ default_queue_policy {{ max_queue_size: 4000000000 }} }}",
        Warns("max_queue_size: is taken for 1000000"),
        "beyond bounds",
    ),
    Case(
        "dynamic_batching.default_queue_policy.max_queue_size",
        f"{DYNAMIC} {{ default_queue_policy {{ }} }}",
        Takes(lambda seen: seen.shown["dynamic_batching"]["default_queue_policy"]["max_queue_size"], 1024),
        "of none",
    ),
    Case(
        "sequence_batching",
        f"{BATCHED} sequence_batching {{ oldest {{ max_candidate_sequences: 4 }} }}",
        Warns("sequence_batching: has no effect: a model without control inputs and state"),
    ),
    Case(
        "sequence_batching.control_input",
        f'{BATCHED} sequence_batching {{ control_input {{ name: "START" }} }}',
        Refuses("sequence_batching.control_input: not supported"),
    ),
    Case(
        "sequence_batching.state",
        f'{BATCHED} sequence_batching {{ state {{ input_name: "s" output_name: "t" }} }}',
        Refuses("sequence_batching.state: not supported"),
    ),
    Case(
        "sequence_batching.iterative_sequence",
        f"{BATCHED} sequence_batching {{ iterative_sequence: true }}",
        Refuses("sequence_batching.iterative_sequence: not supported"),
    ),
    Case(
        "ensemble_scheduling",
        'ensemble_scheduling { step { model_name: "a" } }',
        Refuses("ensemble_scheduling: not supported: ensembles are not supported"),
    ),
)
