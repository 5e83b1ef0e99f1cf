"""Every metric there is: its name, what it is, and where its value comes from.

Triton's names (`nv_*`) are as its clients and dashboards expect them, against Prometheus' advice: counters
without `_total`, microseconds. Ours follow the advice. Nothing else is exposed, and the documentation's table
is tested against this one.
"""

from collections.abc import Callable, Mapping
from typing import Final

from onnxd.telemetry.exemplars import BATCH_ROWS, COMPUTE_TIMES, QUEUE_TIMES, REQUEST_TIMES
from onnxd.telemetry.histogram import BYTES_BOUNDS, DURATION_BOUNDS_NS, ROWS_BOUNDS
from onnxd.telemetry.identity import IDENTITY_LABELS
from onnxd.telemetry.instrument import Instrument, Kind, Number, Reading
from onnxd.telemetry.machine import MachineUsage, ProcessUsage
from onnxd.telemetry.observation import Observation, VersionObservation
from onnxd.telemetry.storage_instruments import STORAGE_INSTRUMENTS

VERSION_LABELS: Final = ("model", "version")
BUILD_PARTS: Final = ("version", "onnxruntime", "python")
"""What `onnxd_build_info` tells the version of; `version` is that of onnxd itself."""
_NS: Final = 10**9


def _microseconds(ns: int) -> int:
    return ns // 1000


def _labelled(counts: Mapping[str, int]) -> Mapping[tuple[str, ...], int]:
    return {(value,): count for value, count in counts.items()}


VERSION_INSTRUMENTS: Final[tuple[Instrument[VersionObservation], ...]] = (
    Instrument(
        "nv_inference_request_success", Kind.COUNTER, "requests",
        "Requests that were answered.",
        lambda seen: seen.statistics.success.count,
    ),
    Instrument(
        "nv_inference_request_failure", Kind.COUNTER, "requests",
        "Requests that had come to the model's queue and were not answered.",
        lambda seen: {(why.value,): count for why, count in seen.statistics.failures.items()},
        labels=("reason",),
    ),
    Instrument(
        "nv_inference_count", Kind.COUNTER, "inferences",
        "Rows of answered requests; one for each request where the model does not batch.",
        lambda seen: seen.statistics.inference_count,
    ),
    Instrument(
        "nv_inference_exec_count", Kind.COUNTER, "executions",
        "Runs of the model; a batch is one.",
        lambda seen: seen.statistics.execution_count,
    ),
    Instrument(
        "nv_inference_request_duration_us", Kind.COUNTER, "microseconds",
        "Time of answered requests from the queue to the answer.",
        lambda seen: _microseconds(seen.statistics.success.ns),
    ),
    Instrument(
        "nv_inference_queue_duration_us", Kind.COUNTER, "microseconds",
        "Time that answered requests waited in the queue.",
        lambda seen: _microseconds(seen.statistics.queue.ns),
    ),
    Instrument(
        "nv_inference_compute_input_duration_us", Kind.COUNTER, "microseconds",
        "Time in which the inputs of answered requests were put together.",
        lambda seen: _microseconds(seen.statistics.compute_input.ns),
    ),
    Instrument(
        "nv_inference_compute_infer_duration_us", Kind.COUNTER, "microseconds",
        "Time for which the model ran for answered requests.",
        lambda seen: _microseconds(seen.statistics.compute_infer.ns),
    ),
    Instrument(
        "nv_inference_compute_output_duration_us", Kind.COUNTER, "microseconds",
        "Time in which the outputs of answered requests were taken apart.",
        lambda seen: _microseconds(seen.statistics.compute_output.ns),
    ),
    Instrument(
        "nv_inference_pending_request_count", Kind.GAUGE, "requests",
        "Requests that wait in the queue.",
        lambda seen: seen.pending,
    ),
    Instrument(
        "nv_model_load_duration_secs", Kind.GAUGE, "seconds",
        "How long the load took, trial and warm-up included.",
        lambda seen: seen.load_s,
    ),
    Instrument(
        "onnxd_request_duration_seconds", Kind.HISTOGRAM, "seconds",
        "Time of answered requests from the queue to the answer.",
        lambda seen: seen.statistics.request_times,
        bounds=DURATION_BOUNDS_NS, per_unit=_NS, exemplars=REQUEST_TIMES,
    ),
    Instrument(
        "onnxd_queue_duration_seconds", Kind.HISTOGRAM, "seconds",
        "Time that answered requests waited in the queue.",
        lambda seen: seen.statistics.queue_times,
        bounds=DURATION_BOUNDS_NS, per_unit=_NS, exemplars=QUEUE_TIMES,
    ),
    Instrument(
        "onnxd_compute_duration_seconds", Kind.HISTOGRAM, "seconds",
        "Time that answered requests spent in their batch: inputs, the run, and outputs.",
        lambda seen: seen.statistics.compute_times,
        bounds=DURATION_BOUNDS_NS, per_unit=_NS, exemplars=COMPUTE_TIMES,
    ),
    Instrument(
        "onnxd_requests_joined_total", Kind.COUNTER, "requests",
        "Requests that had the run of an identical one which was in flight.",
        lambda seen: seen.statistics.joined,
    ),
    Instrument(
        "onnxd_batch_rows", Kind.HISTOGRAM, "rows",
        "Rows of each run of the model.",
        lambda seen: seen.statistics.batch_rows(),
        bounds=ROWS_BOUNDS, exemplars=BATCH_ROWS,
    ),
    Instrument(
        "onnxd_batches_total", Kind.COUNTER, "batches",
        "Batches that were sent, by why they were not bigger.",
        lambda seen: {(why,): count for why, count in seen.statistics.cuts.items()},
        labels=("reason",),
    ),
    Instrument(
        "onnxd_batch_cap_rows", Kind.GAUGE, "rows",
        "How big the next batch may be, of the requests that come most often.",
        lambda seen: None if seen.run_times is None else seen.run_times.cap_rows,
    ),
    Instrument(
        "onnxd_run_base_seconds", Kind.GAUGE, "seconds",
        "What a run takes whatever its rows, as fitted for the requests that come most often.",
        lambda seen: None if seen.run_times is None else seen.run_times.base_s,
    ),
    Instrument(
        "onnxd_run_row_seconds", Kind.GAUGE, "seconds",
        "What each row adds to a run, as fitted for the requests that come most often.",
        lambda seen: None if seen.run_times is None else seen.run_times.per_row_s,
    ),
    Instrument(
        "onnxd_dynamic_elements_total", Kind.COUNTER, "elements",
        "Elements of the inputs with dynamic axes in all runs, padding included.",
        lambda seen: seen.statistics.dynamic_elements,
    ),
    Instrument(
        "onnxd_padding_elements_total", Kind.COUNTER, "elements",
        "Elements among them that are padding.",
        lambda seen: seen.statistics.padding_elements,
    ),
    Instrument(
        "onnxd_batch_bisections_total", Kind.COUNTER, "batches",
        "Batches that failed and were run again in parts, to find the request whose fault it was.",
        lambda seen: seen.statistics.bisections,
    ),
    Instrument(
        "onnxd_batch_reruns_total", Kind.COUNTER, "executions",
        "Runs of parts of batches that had failed.",
        lambda seen: seen.statistics.reruns,
    ),
    Instrument(
        "onnxd_request_bytes", Kind.HISTOGRAM, "bytes",
        "Size of answered requests, as they came and decompressed.",
        lambda seen: seen.statistics.request_bytes,
        bounds=BYTES_BOUNDS,
    ),
    Instrument(
        "onnxd_queue_requests", Kind.GAUGE, "requests",
        "Requests that wait in the queue.",
        lambda seen: seen.pending,
    ),
    Instrument(
        "onnxd_queue_rows", Kind.GAUGE, "rows",
        "Rows of the requests that wait in the queue.",
        lambda seen: seen.waiting_rows,
    ),
    Instrument(
        "onnxd_queue_bytes", Kind.GAUGE, "bytes",
        "Payload of the requests that wait in the queue.",
        lambda seen: seen.waiting_bytes,
    ),
    Instrument(
        "onnxd_instances_busy", Kind.GAUGE, "instances",
        "Instances that are running a batch.",
        lambda seen: seen.busy,
    ),
    Instrument(
        "onnxd_placement", Kind.GAUGE, "instances",
        "Instances whose newest run was on the loop (inline), on a thread or in a process of their own.",
        lambda seen: _labelled(seen.placements),
        labels=("where",),
    ),
    Instrument(
        "onnxd_model_memory_bytes", Kind.GAUGE, "bytes",
        "Memory of its sessions as its trial has shown: at most while it was loaded (peak), and since.",
        lambda seen: _labelled(seen.memory),
        labels=("kind",),
    ),
    Instrument(
        "onnxd_worker_restarts_total", Kind.COUNTER, "restarts",
        "Deaths of processes that the model runs in, by signal; only of a model that is isolated.",
        lambda seen: _labelled(seen.restarts),
        labels=("reason",),
    ),
    Instrument(
        "onnxd_model_info", Kind.GAUGE, "",
        "Always 1; the label is the hash of the files that it was loaded from, the same on every replica.",
        lambda seen: {(seen.content,): 1} if seen.content else None,
        labels=("content",),
    ),
)  # fmt: skip
"""One series (or set of them) for each served version, from its load, at 0, until it no longer serves."""


def _machine(value: Callable[[MachineUsage], Number]) -> Callable[[Observation], Reading]:
    return lambda seen: None if seen.machine is None else value(seen.machine)


def _process(value: Callable[[ProcessUsage], Number]) -> Callable[[Observation], Reading]:
    return lambda seen: None if seen.process is None else value(seen.process)


SERVER_INSTRUMENTS: Final[tuple[Instrument[Observation], ...]] = (
    Instrument(
        "nv_cpu_utilization", Kind.GAUGE, "share",
        "Share of all cores of the machine that was busy since the last reading, 0 to 1.",
        _machine(lambda usage: usage.cpu_utilization),
    ),
    Instrument(
        "nv_cpu_memory_total_bytes", Kind.GAUGE, "bytes",
        "Memory of the machine.",
        _machine(lambda usage: usage.memory_total_bytes),
    ),
    Instrument(
        "nv_cpu_memory_used_bytes", Kind.GAUGE, "bytes",
        "Memory of the machine that is not available to new programs.",
        _machine(lambda usage: usage.memory_used_bytes),
    ),
    Instrument(
        "onnxd_in_flight_requests", Kind.GAUGE, "requests",
        "Inference requests between the decoder and the encoder.",
        lambda seen: seen.in_flight,
    ),
    Instrument(
        "onnxd_in_flight_bytes", Kind.GAUGE, "bytes",
        "Payload of all requests in flight, counted from before it is read.",
        lambda seen: seen.payload_bytes,
    ),
    Instrument(
        "onnxd_requests_refused_total", Kind.COUNTER, "requests",
        "Requests of any kind that were answered with an error, by its class.",
        lambda seen: _labelled(seen.refused),
        labels=("reason",),
    ),
    Instrument(
        "onnxd_model_loads_total", Kind.COUNTER, "loads",
        "Loads of a model's chosen versions, by result.",
        lambda seen: _labelled(seen.loads),
        labels=("result",),
    ),
    Instrument(
        "onnxd_memory_returned_bytes_total", Kind.COUNTER, "bytes",
        "How much smaller the server was after unloads, all of them together.",
        lambda seen: seen.memory_returned,
    ),
    Instrument(
        "onnxd_workers_alive", Kind.GAUGE, "workers",
        "Processes that serve: the workers, or the one that the server is.",
        lambda seen: seen.workers_alive,
    ),
    Instrument(
        "onnxd_workers_restarted_total", Kind.COUNTER, "restarts",
        "Workers that were started again, by how they had ended.",
        lambda seen: _labelled(seen.workers_restarted),
        labels=("reason",),
    ),
    Instrument(
        "onnxd_event_loop_lag_seconds", Kind.GAUGE, "seconds",
        "How late the event loop came to a timer, at most in the last 15 to 30 seconds.",
        lambda seen: seen.loop_lag_s,
    ),
    Instrument(
        "onnxd_threads", Kind.GAUGE, "threads",
        "Threads that may run models at once (budget), and those of all loaded sessions together (claimed).",
        lambda seen: _labelled(seen.threads),
        labels=("kind",),
    ),
    Instrument(
        "onnxd_trace_spans_total", Kind.COUNTER, "spans",
        "Spans of traces that were sent to the collector, that it did not take (failed), or that found the "
        "queue to it full (dropped).",
        lambda seen: _labelled(seen.spans),
        labels=("result",),
    ),
    Instrument(
        "onnxd_metric_exports_total", Kind.COUNTER, "exports",
        "Times that the metrics were sent to the collector, that it did not take them (failed), or that the "
        "time before was not over (skipped).",
        lambda seen: _labelled(seen.metric_exports),
        labels=("result",),
    ),
    Instrument(
        "onnxd_recorded_requests_total", Kind.COUNTER, "requests",
        "Requests of the recorder's share that were written, that the disk did not take (failed), that found "
        "the queue to it full (dropped), or that were too large.",
        lambda seen: _labelled(seen.records),
        labels=("result",),
    ),
    *STORAGE_INSTRUMENTS,
    Instrument(
        "onnxd_build_info", Kind.GAUGE, "",
        "Always 1; the labels say what runs.",
        lambda seen: {tuple(seen.build[part] for part in BUILD_PARTS): 1},
        labels=BUILD_PARTS,
    ),
    Instrument(
        "onnxd_identity_info", Kind.GAUGE, "",
        "Always 1; the labels say which replica this is. Only where it was told (identity.*).",
        lambda seen: {seen.identity: 1} if seen.identity else None,
        labels=IDENTITY_LABELS,
    ),
    Instrument(
        "process_cpu_seconds_total", Kind.COUNTER, "seconds",
        "CPU time of the server, user and system.",
        _process(lambda usage: usage.cpu_s),
    ),
    Instrument(
        "process_resident_memory_bytes", Kind.GAUGE, "bytes",
        "Resident memory of the server.",
        _process(lambda usage: usage.resident_bytes),
    ),
    Instrument(
        "process_open_fds", Kind.GAUGE, "descriptors",
        "Open file descriptors of the server.",
        _process(lambda usage: usage.open_fds),
    ),
    Instrument(
        "process_start_time_seconds", Kind.GAUGE, "seconds",
        "When the server started, in seconds of the Unix epoch.",
        _process(lambda usage: usage.started_s),
    ),
)  # fmt: skip
"""Of the server as a whole."""
