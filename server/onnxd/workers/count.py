"""How many workers there are, and what each has of the settings that bound the server as a whole."""

import math
from dataclasses import replace

from onnxd.runtime.threads import cpu_budget
from onnxd.security.rate_config import Allowance, RateConfig, RateFault, read_allowance
from onnxd.settings.server_settings import ServerSettings


def worker_count(settings: ServerSettings) -> int:
    """Of the setting, where 0 is auto: as many as there are CPUs to use."""
    return settings.workers or cpu_budget()


def of_one_worker(settings: ServerSettings, count: int) -> ServerSettings:
    """The settings of each of `count` workers: bounds are divided, rounded up where a whole number is due, so
    that none becomes 0 (which would mean no bound)."""
    inference = settings.inference
    payload = inference.payload_bound()
    http, shared = settings.http, settings.shared_memory
    return replace(
        settings,
        inference=replace(
            inference,
            max_in_flight=_share(inference.max_in_flight, count),
            max_in_flight_bytes=_share(payload, count) if payload >= 0 else payload,
        ),
        http=replace(http, max_connections=_share(http.max_connections, count)),
        grpc=replace(settings.grpc, max_connections=_share(settings.grpc.max_connections, count)),
        rate=_rates(settings.rate, count),
        shared_memory=replace(
            shared,
            max_in_flight=_share(shared.max_in_flight, count) if shared.max_in_flight >= 0 else -1,
        ),
        threads=replace(settings.threads, budget=threads_of_one(settings, count)),
    )


def threads_of_one(settings: ServerSettings, count: int) -> int:
    """CPUs that each worker computes with; at least 1."""
    return max(1, (settings.threads.budget or cpu_budget()) // count)


def _rates(rate: RateConfig, count: int) -> RateConfig:
    principals = {}
    for name, text in rate.principals.items():
        try:
            read_allowance(name, text, Allowance())
        except RateFault:  # the gate says so, when it is opened with it
            principals[name] = text
            continue
        words = dict(word.split(":", 1) for word in text.split())
        if "per_second" in words:
            words["per_second"] = repr(float(words["per_second"]) / count)
        for whole in ("burst", "max_in_flight"):
            if whole in words:
                words[whole] = str(_share(int(words[whole]), count))
        principals[name] = " ".join(f"{word}:{value}" for word, value in words.items())
    return replace(
        rate,
        per_second=rate.per_second / count,
        burst=_share(rate.burst, count),
        max_in_flight=_share(rate.max_in_flight, count),
        principals=principals,
        models={name: _share(most, count) for name, most in rate.models.items()},
    )


def _share(bound: int, count: int) -> int:
    return math.ceil(bound / count)
