"""The blocking client."""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Any, TypeVar

from google.protobuf.message import Message

from onnxd_client.address import Address
from onnxd_client.codec import Codec, Exchange, LoadOverride, Parameter
from onnxd_client.errors import InvalidRequest
from onnxd_client.grpc_codec import GrpcCodec, infer_request, is_empty, stream_result
from onnxd_client.http_codec import HttpCodec
from onnxd_client.inputs import Inputs
from onnxd_client.moments import EVENTS_PATH, Moment, MomentReader
from onnxd_client.plan import Plan, run
from onnxd_client.results import Document, IndexEntry, InferResult, ModelMetadata, ServerMetadata
from onnxd_client.retry import RetryPolicy
from onnxd_client.session import Context, Options, Session, Version, checked_in_flight, version_text
from onnxd_client.transport.grpc_sync import GrpcTransport
from onnxd_client.transport.http_sync import HttpTransport

T = TypeVar("T")


class Client:
    """A client of one server, over HTTP or gRPC as the URL says; use it from any number of threads.

    It connects on its first call and keeps its connections until it is closed: make one, share it, and
    use it as a context manager.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline: float = 60.0,
        headers: Mapping[str, str] | None = None,
        retry: RetryPolicy | None = None,
        connections: int = 64,
        ca_file: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`url` is http://, https://, grpc:// or grpcs:// with host and port; anything else is a ValueError.

        `deadline`: seconds for a whole call with all its retries, unless the call names its own; math.inf for
        none. `headers`: sent with every call (credentials, for instance). `connections`: the most that are
        kept to an HTTP server; gRPC needs one. `ca_file`: a PEM file of the only certificates to trust.
        `sleep`: how to wait between tries.
        """
        address = Address.parse(url)
        codec: Codec[Any, Any]
        self._transport: HttpTransport | GrpcTransport
        if address.scheme in ("http", "https"):
            codec = HttpCodec(address.path)
            self._transport = HttpTransport(address, connections=connections, ca_file=ca_file)
        else:
            codec = GrpcCodec()
            self._transport = GrpcTransport(address, ca_file=ca_file)
        self._sleep = sleep
        self._session: Session[Any, Any] = Session(
            codec, deadline=deadline, headers=headers or {}, policy=retry or RetryPolicy()
        )
        self._codec = codec
        self.repository = Repository(self)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every connection; calls after it fail."""
        self._transport.close()

    def infer(
        self,
        model: str,
        inputs: Inputs,
        *,
        version: Version = None,
        outputs: Iterable[str] | None = None,
        classes: Mapping[str, int] | None = None,
        id: str = "",
        parameters: Mapping[str, Parameter] | None = None,
        priority: int | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> InferResult:
        """Runs a model.

        `inputs`: values by input name, or one value for a model with one input. An array is sent under its
        own dtype; text and bytes (also in lists) as BYTES; plain Python numbers as the datatype that the
        model's metadata names, which is asked for once.
        `version`: the server chooses without one. `outputs`: only these; all without. `classes`: instead of
        an output's values, its n highest with their labels (read them with InferResult.classes); without
        `outputs`, only these are returned. `parameters`: passed on to the model; the protocol's own, such as
        sequence_id, go here too. `priority`: 1 is the highest.

        Raises a ServerError.
        """
        options = Options(version, outputs, classes, id, parameters or {}, priority)
        context = self._session.context(deadline, headers)
        return self._run(self._session.infer(model, inputs, options, context))

    def stream(
        self,
        model: str,
        inputs: Iterable[Inputs],
        *,
        version: Version = None,
        outputs: Iterable[str] | None = None,
        classes: Mapping[str, int] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        priority: int | None = None,
        deadline: float = math.inf,
        headers: Mapping[str, str] | None = None,
        in_flight: int = 16,
    ) -> Generator[InferResult, None, None]:
        """Runs a model on one item after the other; results come in the items' order.

        Over gRPC it is one ModelStreamInfer call with at most `in_flight` items unanswered, whose items are
        taken in a thread of gRPC's, and nothing is retried; over HTTP each item is a call of its own, after
        the one before. `deadline` is for the whole stream. The first failure ends it. Leave it early by
        closing the iterator, or by letting go of it.
        """
        room = checked_in_flight(in_flight)
        wanted = None if outputs is None else list(outputs)
        options = Options(version, wanted, classes, "", parameters or {}, priority)
        context = self._session.context(deadline, headers)
        items = iter(inputs)
        if isinstance(self._transport, HttpTransport):
            return (self._run(self._session.infer(model, item, options, context)) for item in items)
        return self._stream(self._transport, self._requests(model, items, options, context), context, room)

    def _stream(
        self, transport: GrpcTransport, requests: Iterator[Message], context: Context, in_flight: int
    ) -> Generator[InferResult, None, None]:
        left = self._session.left(context)
        for reply in transport.stream(requests, context.headers, left, in_flight):
            if not is_empty(reply):
                yield stream_result(reply)

    def _requests(
        self, model: str, items: Iterator[Inputs], options: Options, context: Context
    ) -> Iterator[Message]:
        for item in items:
            yield infer_request(self._run(self._session.prepare(model, item, options, context)))

    def live(self) -> bool:
        """Whether the server answers; False also when nothing listens."""
        return self._probe(self._codec.live())

    def ready(self) -> bool:
        """Whether the server takes requests; False also when nothing listens."""
        return self._probe(self._codec.ready())

    def model_ready(self, model: str, version: Version = None) -> bool:
        """Whether the model can be used now; False for one that is not known."""
        return self._probe(self._codec.model_ready(model, version_text(version)))

    def server(self) -> ServerMetadata:
        """Which server this is."""
        return self._ask(self._codec.server())

    def metadata(self, model: str, version: Version = None) -> ModelMetadata:
        """The model's inputs and outputs."""
        return self._ask(self._codec.metadata(model, version_text(version)))

    def config(self, model: str, version: Version = None) -> Document:
        """The model's configuration, as the protocol's JSON."""
        return self._ask(self._codec.config(model, version_text(version)))

    def statistics(self, model: str = "", version: Version = None) -> list[Document]:
        """Counters of each version that is ready, of one model or of all, as the protocol's JSON."""
        return self._ask(self._codec.statistics(model, version_text(version)))

    def placement(self, model: str, version: Version = None) -> Document:
        """Which nodes run on which provider, and their share of a run; onnxd's own, over HTTP only. The first
        answer for a version takes as long as its load."""
        return self._ask(self._codec.placement(model, version_text(version)))

    def recent(self, model: str) -> Document:
        """The last slow and failed requests of a model, each with its stages and batches; onnxd's own, over
        HTTP only."""
        return self._ask(self._codec.recent(model))

    def watch(self) -> Generator[Moment, None, None]:
        """What the server is doing, a moment a second, until it drains; onnxd's own, over HTTP only.

        Counters only grow until a version is loaded again: rates and quantiles come of two moments. Raises a
        ServerError, Unavailable for one watcher too many or a lost connection.
        """
        if not isinstance(self._transport, HttpTransport):
            raise InvalidRequest("the server's moments are told over HTTP only: use an http:// address")
        context = self._session.context(None, None)
        reader = MomentReader()
        with closing(self._transport.lines(EVENTS_PATH, context.headers)) as lines:
            yield from filter(None, map(reader.read, lines))

    def batching(self, model: str, version: Version = None) -> Document:
        """How the requests of a version are put together: its policy, what waits, the fitted run times, and
        the last batches with why each was cut. Answered over HTTP only."""
        return self._ask(self._codec.batching(model, version_text(version)))

    def _probe(self, exchange: Exchange[Any, Any, bool]) -> bool:
        return self._run(self._session.probe(exchange, self._session.context(None, None)))

    def _ask(self, exchange: Exchange[Any, Any, T], deadline: float | None = None) -> T:
        return self._run(self._session.call(exchange, self._session.context(deadline, None)))

    def _run(self, plan: Plan[Any, Any, T]) -> T:
        return run(plan, self._transport.send, self._sleep)


class Repository:
    """What the server holds, and what it serves of it; `client.repository`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def index(self, *, ready: bool = False) -> tuple[IndexEntry, ...]:
        """Every version of every model with its state; only those being served with `ready`."""
        return self._client._ask(self._client._codec.index(ready))

    def load(
        self,
        model: str,
        *,
        config: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        deadline: float = 300.0,
    ) -> None:
        """Loads or reloads a model; returns when it serves. InvalidRequest tells why it does not.

        `config`, in Triton's JSON form, and `files`, such as {"1/model.onnx": data}, stand in for those of
        the repository, where the server permits it (its setting model_overrides).
        """
        override = LoadOverride(config, files or {})
        self._client._ask(self._client._codec.load(model, override), deadline)

    def rollback(self, model: str, *, deadline: float = 300.0) -> None:
        """Goes back to what the model served before, from the server's own copy. InvalidRequest tells why it
        cannot. Of onnxd alone: other servers refuse it."""
        self._client._ask(self._client._codec.rollback(model), deadline)

    def unload(self, model: str, *, deadline: float = 300.0) -> None:
        """Stops serving a model; what it is working on is finished. An unknown model is fine."""
        self._client._ask(self._client._codec.unload(model), deadline)
