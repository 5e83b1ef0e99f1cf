"""What each route is for, in a line, and which documents it takes and gives.

A route that is not here has no place in the description, and a test fails for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Description:
    """One route, by its label in OPERATIONS."""

    tag: str
    summary: str
    answer: str
    """The component that it answers with; "" = what it answers is not JSON."""
    body: str = ""
    """The component that it takes; "" = nothing."""
    body_required: bool = False
    answer_type: str = JSON
    text: str = ""
    """What else there is to know."""


_HEALTH: Final = "health"
_METADATA: Final = "metadata"
_INFER: Final = "inference"
_STATS: Final = "statistics"
_REPOSITORY: Final = "repository"
_MEMORY: Final = "shared memory"
_SETTINGS: Final = "trace and log"
_PAGES: Final = "pages"

TAGS: Final[Mapping[str, str]] = {
    _INFER: "Run a model. Loaded models have an operation of their own below, with their inputs filled in.",
    _METADATA: "What the server is, and what its models take and give.",
    _HEALTH: "Is it up, and may it be given work?",
    _STATS: "What it has done: counters, batches, placement, metrics.",
    _REPOSITORY: "Which models there are; load, unload and roll back.",
    _MEMORY: "Tensors in shared memory, where the operator has switched it on.",
    _SETTINGS: "What is traced and logged, changed while the server runs.",
    _PAGES: "For people.",
}

_BINARY_TEXT: Final = (
    "Tensors may be raw bytes behind the JSON: then the header Inference-Header-Content-Length says where "
    "the JSON ends, and each such input has the parameter binary_data_size."
)
_REPO_TEXT: Final = "Always refused: a model has one name over all repositories."

OPERATIONS: Final[Mapping[str, Description]] = {
    "GET /v2": Description(_METADATA, "Name, version and extensions of the server", "ServerMetadata"),
    "GET /v2/health/live": Description(_HEALTH, "Whether the server runs", "Live"),
    "GET /v2/health/ready": Description(_HEALTH, "Whether it may be given work", "Ready"),
    "GET /v2/health/started": Description(_HEALTH, "Whether the first load is over", "Started"),
    "GET /health": Description(_HEALTH, "The same, for probes that want this path", "Health"),
    "GET /metrics": Description(_STATS, "Metrics for Prometheus", "", answer_type="text/plain"),
    "GET /v2/models/{model}/recent": Description(
        _STATS, "The last slow requests and errors of a model, with their batches", "Document"
    ),
    "GET /v2/models/stats": Description(_STATS, "Counters of all models", "Statistics"),
    "GET /v2/events": Description(
        _STATS, "What the server is doing, once a second, as server-sent events", "",
        answer_type="text/event-stream",
    ),
    "POST /infer": Description(
        _INFER, "Numbers in, numbers out, on the model that the operator chose", "SimpleResponse",
        body="SimpleRequest", body_required=True,
    ),
    "POST /v2/repository/index": Description(
        _REPOSITORY, "Every version with its state, its reason and its memory", "Index", body="IndexRequest"
    ),
    "POST /v2/repository/{repo}/index": Description(
        _REPOSITORY, "The same: all repositories share one index", "Index", body="IndexRequest"
    ),
    "POST /v2/repository/models/{model}/load": Description(
        _REPOSITORY, "Load what has changed of a model", "Empty", body="LoadRequest",
        text='Answers when it serves, or has failed to. {"parameters": {"onnxd_rollback": true}} goes back '
        "to what served before.",
    ),
    "POST /v2/repository/models/{model}/unload": Description(
        _REPOSITORY, "Stop serving a model; requests in flight finish", "Empty", body="UnloadRequest"
    ),
    "POST /v2/repository/{repo}/models/{model}/load": Description(
        _REPOSITORY, "Not supported", "Empty", body="LoadRequest", text=_REPO_TEXT
    ),
    "POST /v2/repository/{repo}/models/{model}/unload": Description(
        _REPOSITORY, "Not supported", "Empty", body="UnloadRequest", text=_REPO_TEXT
    ),
    "GET /v2/trace/setting": Description(_SETTINGS, "What is traced", "Document"),
    "POST /v2/trace/setting": Description(_SETTINGS, "Change what is traced", "Document", body="Document"),
    "GET /v2/models/{model}/trace/setting": Description(_SETTINGS, "What is traced of a model", "Document"),
    "POST /v2/models/{model}/trace/setting": Description(
        _SETTINGS, "Change what is traced of a model", "Document", body="Document"
    ),
    "GET /v2/logging": Description(_SETTINGS, "What is logged", "Document"),
    "POST /v2/logging": Description(_SETTINGS, "Change what is logged", "Document", body="Document"),
    "GET /openapi.json": Description(_PAGES, "This description", "Document"),
    "GET /": Description(_PAGES, "The console", "", answer_type="text/html"),
    "GET /docs": Description(_PAGES, "This description as a page", "", answer_type="text/html"),
}  # fmt: skip

_OF_MODELS: Final[Mapping[str, Description]] = {
    "GET {model}": Description(_METADATA, "Inputs, outputs and versions of a model", "ModelMetadata"),
    "GET {model}/ready": Description(_HEALTH, "Whether a model would answer now", "ModelReady"),
    "GET {model}/config": Description(_METADATA, "Its configuration, in Triton's form", "Document"),
    "GET {model}/explain": Description(
        _METADATA, "Every key of its config in force, and where each value comes from", "Document"
    ),
    "GET {model}/stats": Description(_STATS, "Its counters", "Statistics"),
    "GET {model}/placement": Description(
        _STATS, "Which node runs on which provider, and its share of a run", "Document",
        text="The first answer for a version takes as long as a load.",
    ),
    "GET {model}/batching": Description(_STATS, "How it is batched, and why", "Document"),
    "POST {model}/infer": Description(
        _INFER, "Run a model", "InferResponse", body="InferRequest", body_required=True, text=_BINARY_TEXT
    ),
    "POST {model}/generate": Description(
        _INFER, "Run a model, as one flat object", "GenerateResponse",
        body="GenerateRequest", body_required=True,
    ),
    "POST {model}/generate_stream": Description(
        _INFER, "The same, answered as server-sent events", "", body="GenerateRequest", body_required=True,
        answer_type="text/event-stream",
    ),
}  # fmt: skip
"""Each is there for a model, whose policy chooses the version, and for one version."""

_OF_REGIONS: Final[Mapping[str, Description]] = {
    "GET status": Description(_MEMORY, "The regions that are registered", "RegionList"),
    "POST register": Description(_MEMORY, "Register a region", "Empty", body="RegionRequest"),
    "POST unregister": Description(_MEMORY, "Forget a region, or all", "Empty"),
}


def description_of(label: str) -> Description | None:
    """Of a route, by its method and path; None for one that is not described."""
    found = OPERATIONS.get(label)
    if found is not None:
        return found
    method, _, path = label.partition(" ")
    if path.startswith(("/v2/systemsharedmemory/", "/v2/cudasharedmemory/")):
        return _OF_REGIONS.get(f"{method} {path.rpartition('/')[2]}")
    for root in ("/v2/models/{model}/versions/{version}", "/v2/models/{model}"):
        if path.startswith(root):
            return _OF_MODELS.get(f"{method} {{model}}{path[len(root) :]}")
    return None
