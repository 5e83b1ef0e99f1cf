"""Everything that an operator can set, composed of each part's own config.

Nothing below the composition root imports this: a part knows its own config and no other. Names, flags,
variables and help all come from these fields and their docstrings (table.py).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from onnxd.errors import InvalidName
from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.http_frontend.config import HttpConfig, MetricsConfig
from onnxd.inference import InferenceConfig
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.names import check_model_name
from onnxd.repository.batching import BatchingConfig
from onnxd.repository.lifecycle import ModelControl
from onnxd.repository.memory_ledger import MemoryConfig
from onnxd.repository.object_store.config import ObjectStoreConfig
from onnxd.repository.object_store.url import RepositoryRoot
from onnxd.repository.watcher import WatchConfig
from onnxd.runtime.thread_shares import ThreadConfig
from onnxd.runtime.trial import TrialLimits
from onnxd.runtime.worker_config import IsolationConfig
from onnxd.scheduler.fair_share import FairnessConfig
from onnxd.scheduler.overload import OverloadConfig
from onnxd.security.config import AuthConfig
from onnxd.security.jwt_config import JwtConfig
from onnxd.security.rate_config import RateConfig
from onnxd.security.tls import TlsConfig
from onnxd.shared_memory.config import SharedMemoryConfig
from onnxd.telemetry.audit import AuditConfig
from onnxd.telemetry.identity import IdentityConfig
from onnxd.telemetry.logs import LogConfig
from onnxd.telemetry.metric_export import MetricExportConfig
from onnxd.telemetry.recent import RecentConfig
from onnxd.telemetry.recorder import RecorderConfig
from onnxd.telemetry.setup import TracingConfig
from onnxd.units import Seconds

_MOST_WORKERS: Final = 256


def _parse_workers(value: object) -> object:
    return 0 if value == "auto" else value


Workers = Annotated[
    int,
    BeforeValidator(_parse_workers),
    Ge(0),
    Le(_MOST_WORKERS),
    WithJsonSchema(
        {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 0, "maximum": _MOST_WORKERS}]}
    ),
]
"""A number of processes; 0, or auto, = as many as there are CPUs to use."""

NonEmptyText = Annotated[str, Field(min_length=1, examples=["127.0.0.1"])]


def _model_name(name: str) -> str:
    """The name itself. Raises ValueError for what no model can be called."""
    try:
        return check_model_name(name)
    except InvalidName as error:
        raise ValueError(error.message) from error


ModelName = Annotated[str, AfterValidator(_model_name)]


@dataclass(frozen=True, slots=True)
class SimpleConfig:
    """The simple faces: POST /infer and neural.NeuralService."""

    model: str = "digits"
    """The model that POST /infer and neural.NeuralService ask."""


@dataclass(frozen=True, slots=True)
class DrainConfig:
    """What happens between SIGTERM and the exit."""

    linger: Seconds = 0.0
    """How long new requests are still taken after readiness has turned false, for balancers to notice."""
    grace: Seconds = 30.0
    """How long requests in flight have to finish after that."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of one server, frozen."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    model_repository: Annotated[tuple[RepositoryRoot, ...], Field(min_length=1)] = (Path("model_repository"),)
    """Directory with a directory for each model, or s3://, gs://, az:// and a prefix; several make one
    repository."""
    model_control: ModelControl = "watch"
    """watch: follow the files, load by API too; explicit: load what is asked for; none: as at the start."""
    model_control_api: bool = True
    """Whether clients may load and unload models; with false, what lies on disk alone decides."""
    settings_api: bool = True
    """Whether clients may change trace and log settings; with false, they only read them."""
    model_overrides: bool = False
    """Whether clients that may load models may also bring the config and the files to load."""
    max_brought_models: Annotated[int, Field(ge=0)] = 256
    """With model_overrides: models that clients have brought and the repository does not have."""
    load_model: tuple[str, ...] = ()
    """With model_control explicit: the models to load at the start; * = all."""
    exit_on_error: bool = False
    """Whether a model that fails to load at the start ends the server, with its reason and exit code 1."""
    strict_readiness: bool = False
    """Whether the server is ready only while all models serve that should: all but those unloaded by name."""
    ready_models: tuple[ModelName, ...] = ()
    """Models without which the server is not ready, whatever the reason; the others do not matter to it."""
    single_model_name: ModelName | None = None
    """What the model is called if a repository directory is not one of models, but a model's own; unset = it
    is none."""
    parallel_loads: Annotated[int, Field(ge=1)] = 2
    """Models that are loaded at one time; more start a server with many models faster, for memory and CPU."""
    lazy_load: bool = False
    """Whether a model is only examined at the start, and when its files change, and loaded with the first
    request for it; those of ready_models are loaded at once."""
    state_dir: Path | None = None
    """Where the server keeps its own files; unset = onnxd in $XDG_STATE_HOME, or in ~/.local/state."""
    workers: Workers = 1
    """Processes that serve on the same ports (docs/workers.md); auto, or 0 = one for each CPU."""
    host: NonEmptyText = "127.0.0.1"
    """The address that all listeners bind; 0.0.0.0 = every interface, for anyone who can reach it."""
    insecure: bool = False
    """Whether the server may be reached from other machines with admin operations open to everybody."""
    tls: TlsConfig = field(default_factory=TlsConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    jwt: JwtConfig = field(default_factory=JwtConfig)
    rate: RateConfig = field(default_factory=RateConfig)
    fairness: FairnessConfig = field(default_factory=FairnessConfig)
    overload: OverloadConfig = field(default_factory=OverloadConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    grpc: GrpcConfig = field(default_factory=GrpcConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    metric_export: MetricExportConfig = field(default_factory=MetricExportConfig)
    simple: SimpleConfig = field(default_factory=SimpleConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    object_store: ObjectStoreConfig = field(default_factory=ObjectStoreConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    threads: ThreadConfig = field(default_factory=ThreadConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    trial: TrialLimits = field(default_factory=TrialLimits)
    isolation: IsolationConfig = field(default_factory=IsolationConfig)
    limits: ProtocolLimits = field(default_factory=ProtocolLimits)
    shared_memory: SharedMemoryConfig = field(default_factory=SharedMemoryConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)
    recent: RecentConfig = field(default_factory=RecentConfig)
    recorder: RecorderConfig = field(default_factory=RecorderConfig)
    log: LogConfig = field(default_factory=LogConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    drain: DrainConfig = field(default_factory=DrainConfig)
