"""The fields about how requests wait and are put together."""

from typing import Final

from tests.contract.pbtxt.case import (
    BATCHED,
    DYNAMIC,
    Case,
    Refuses,
    Takes,
    Warns,
)

CASES: Final = (
    Case(
        "dynamic_batching.preferred_batch_size",
        f"{DYNAMIC} {{ preferred_batch_size: [8] }}",
        Takes(lambda seen: seen.shown["dynamic_batching"]["preferred_batch_size"], [8]),
    ),
    Case(
        "dynamic_batching.preferred_batch_size",
        f"{DYNAMIC} {{ preferred_batch_size: [4, 8] }}",
        Warns("dynamic_batching.preferred_batch_size: has no effect: batches are of any size"),
        "of less",
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
        Warns("max_queue_delay_microseconds: has no effect: without max_batch_size"),
        "without batches",
    ),
    Case(
        "dynamic_batching.preserve_ordering",
        f"{DYNAMIC} {{ preserve_ordering: true }}",
        Warns("dynamic_batching.preserve_ordering: has no effect: answers keep the order"),
    ),
    Case(
        "dynamic_batching.priority_levels",
        f"{DYNAMIC} {{ priority_levels: 2 default_priority_level: 1 }}",
        Warns("dynamic_batching.priority_levels: has no effect: requests are served first come"),
    ),
    Case(
        "dynamic_batching.default_priority_level",
        f"{DYNAMIC} {{ priority_levels: 2 default_priority_level: 1 }}",
        Warns("dynamic_batching.default_priority_level: has no effect"),
    ),
    Case(
        "dynamic_batching.priority_queue_policy",
        f"{DYNAMIC} {{ priority_queue_policy {{ key: 1 value {{ max_queue_size: 4 }} }} }}",
        Warns("dynamic_batching.priority_queue_policy: has no effect"),
    ),
    Case(
        "dynamic_batching.default_queue_policy.timeout_action",
        f"{DYNAMIC} {{ default_queue_policy {{ timeout_action: DELAY default_timeout_microseconds: 5 }} }}",
        Warns("timeout_action: has no effect: a request that has waited too long is not refused"),
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
