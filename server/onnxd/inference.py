"""The one way from a decoded request to its answer, for every front end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Annotated, Final

from annotated_types import Gt

from onnxd.errors import DeadlineExceeded, ModelNotFound, ModelUnavailable, ServerDraining, Unavailable
from onnxd.messages import InferRequest, InferResponse
from onnxd.protocol.classification import classify_outputs
from onnxd.protocol.reshape import as_clients_see
from onnxd.protocol.validation import validate
from onnxd.repository.catalog import Catalog
from onnxd.repository.served import Lease, ServedVersion
from onnxd.runtime.memory import usable_bytes
from onnxd.scheduler.payloads import PayloadBound
from onnxd.shared_memory.config import SharedMemoryConfig
from onnxd.shared_memory.service import SharedMemory
from onnxd.telemetry.observation import VersionObservation
from onnxd.tensors import Array, ModelSpec
from onnxd.units import Bytes, Seconds

_MOST_PAYLOAD_BYTES: Final = 2**30
_MOST_FORMS: Final = 256
_PAYLOAD_SHARE: Final = 8
"""A request's bytes are there about three times while it is stacked, run and answered."""


@dataclass(frozen=True, slots=True)
class InferenceConfig:
    """Bounds on all requests together, whatever model they are for."""

    default_timeout: Seconds = 60.0
    """The deadline of a request that brings none."""
    max_in_flight: Annotated[int, Gt(0)] = 8192
    """Requests between the decoder and the encoder; one more is refused at once."""
    max_in_flight_bytes: Bytes | None = None
    """Payload of all requests together, from before it is read; one more is refused at once. Unset = 1GiB, or
    an eighth of the memory that the server may use where that is less; -1 = no bound."""

    def payload_bound(self) -> int:
        """-1 = no bound."""
        if self.max_in_flight_bytes is not None:
            return self.max_in_flight_bytes
        return min(_MOST_PAYLOAD_BYTES, usable_bytes() // _PAYLOAD_SHARE)


class InferenceService:
    """The data plane. It authenticates nobody: the request carries a Principal that the edge settled."""

    def __init__(
        self,
        catalog: Catalog,
        config: InferenceConfig,
        shared_memory: SharedMemory | None = None,
        *,
        strict_readiness: bool = False,
        ready_models: Sequence[str] = (),
    ) -> None:
        """`shared_memory` None = switched off. `strict_readiness`: not ready while a model is missing;
        `ready_models`: nor while one of these is."""
        self.shared_memory = shared_memory or SharedMemory(SharedMemoryConfig())
        self.payloads: Final = PayloadBound(config.payload_bound())
        self._catalog = catalog
        self._config = config
        self._strict_readiness = strict_readiness
        self._ready_models = tuple(ready_models)
        self._in_flight = 0
        self._serving = False
        self._draining = False
        self._started = False
        self.awaited: Callable[[], str] = str
        """What a repository that lies elsewhere waits for before the first load; "" = nothing."""
        self.wakes: Callable[[str], Awaitable[None]] | None = None
        """Loads a model that is asleep; None = all are loaded before anybody asks for them."""
        self.whole = True
        """Whether the other workers of this server are ready too; without any there is nobody to wait for."""

    # Readiness: false until the first scan of the repository is loaded, and again from the drain on.

    @property
    def ready(self) -> bool:
        return self._serving and not self._draining and self.whole and self.missing is None

    @property
    def missing(self) -> str | None:
        """The model for which the server is not ready; None = it is not for a model's sake."""
        if not self._serving:
            return None
        missing = self._catalog.missing_of(self._ready_models) if self._ready_models else None
        if missing is None and self._strict_readiness:
            missing = self._catalog.missing()
        return missing

    @property
    def started(self) -> bool:
        """Whether the first load of the repository is over, whatever came of it; true from then on."""
        return self._started

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def open(self) -> None:
        """What the repository held at the start is loaded, or has failed with its reason."""
        self._serving = self._started = True

    def begin_drain(self) -> None:
        """Readiness turns false; requests are still answered until `stop`."""
        self._draining = True

    def stop(self) -> None:
        """New requests are refused; those in flight go on."""
        self._draining = True
        self._serving = False

    # Requests.

    async def infer(self, request: InferRequest) -> InferResponse:
        """Run one request.

        Raises ModelNotFound, ModelUnavailable, TensorMismatch, QueueFull, QueueTimeout, DeadlineExceeded,
        ServerDraining, Unavailable, ExecutionFailed, or ModelProcessDied; for tensors in shared memory also
        PermissionDenied, NotFound, InvalidRequest, PayloadTooLarge. A cancelled caller frees its place in the
        queue at once.
        """
        if self._draining and not self._serving:
            raise ServerDraining("the server is shutting down", retry_after_s=1.0)
        if self._in_flight >= self._config.max_in_flight:
            raise Unavailable(
                f"the server has {self._in_flight} requests in flight, its maximum", retry_after_s=1.0
            )
        now_s = time.monotonic()
        latest_s = now_s + self._config.default_timeout
        if request.deadline_s is None or request.deadline_s > latest_s:
            request.deadline_s = latest_s
        elif request.deadline_s <= now_s:
            raise DeadlineExceeded("the request's deadline had passed before the model was asked")
        self._in_flight += 1
        try:
            if self.wakes is not None:
                await self.wake(request.model_name, request.deadline_s - now_s)
            with Lease(self.served(request.model_name, request.model_version)) as served:
                if (request.shared_inputs or request.outputs) and request.uses_shared_memory:
                    return await self._infer_shared(request, served)
                known = served.fits.get(request.form)
                rows, names = _fit(request, served) if known is None else known
                outputs = await served.submit(request, rows, names)
                return _response(request, served, outputs)
        finally:
            self._in_flight -= 1

    async def _infer_shared(self, request: InferRequest, served: ServedVersion) -> InferResponse:
        with self.shared_memory.hold(request) as held:
            await self.shared_memory.read_inputs(held, request)
            rows, names = _fit(request, served)
            outputs = await served.submit(request, rows, names)
            response = _response(request, served, outputs)
            await self.shared_memory.write_outputs(held, response)
            return response

    # What there is to ask.

    def served(self, name: str, version: int | None) -> ServedVersion:
        """What serves. Raises ModelNotFound, ModelUnavailable, and ServerDraining for what is not known yet:
        before the first load is over, nothing can be said to be missing."""
        try:
            return self._catalog.find(name, version)
        except ModelNotFound:
            self._check_started(name)
            raise

    async def wake(self, name: str, within_s: float | None = None) -> None:
        """Before a model is asked, or asked about: if the first request loads it, wait for that, for as long
        as a request may take. Whether it serves then is for `served` to say.

        Raises ModelUnavailable when that takes longer; the load goes on.
        """
        if self.wakes is None or self._catalog.serving(name):
            return
        try:
            async with asyncio.timeout(self._config.default_timeout if within_s is None else within_s):
                await self.wakes(name)
        except TimeoutError as error:
            raise ModelUnavailable(
                f"model '{name}' is being loaded, which takes longer than this request waits",
                retry_after_s=1.0,
            ) from error

    def spec(self, name: str, version: int | None) -> ModelSpec:
        """What a client may send. Raises as `served` does."""
        return self.served(name, version).spec

    def versions(self, name: str) -> tuple[int, ...]:
        """The READY versions, ascending. Raises as `served` does."""
        try:
            return self._catalog.versions(name)
        except ModelNotFound:
            self._check_started(name)
            raise

    def model_ready(self, name: str, version: int | None) -> bool:
        """Whether it would answer, though the first request may have to load it. Raises ModelNotFound for
        what is not in the repository."""
        try:
            self.served(name, version)
        except Unavailable:
            return self._catalog.sleeps(name)
        return True

    def observe(self) -> tuple[VersionObservation, ...]:
        """What everything that serves has done, for the metrics."""
        return tuple(served.observe() for served in self.serving(None, None))

    def serving(self, name: str | None, version: int | None) -> Iterator[ServedVersion]:
        """What the statistics of (name, version) are about; None = all. Raises as `served` does."""
        if name is not None:
            versions = self.versions(name) if version is None else (version,)
            yield from (self.served(name, each) for each in versions)
            return
        for known in self._catalog.names():
            served = self._catalog.serving(known)
            yield from (served[number] for number in sorted(served))

    def _check_started(self, name: str) -> None:
        if not self._serving and not self._draining:
            raise ServerDraining(
                f"the server is starting, and does not know yet whether there is a model '{name}'",
                retry_after_s=1.0,
            )


def _fit(request: InferRequest, served: ServedVersion) -> tuple[int, tuple[str, ...]]:
    """The rows of a request, and the outputs to compute for it; remembered for others of its form. Raises
    TensorMismatch."""
    came = tuple(request.inputs.values())
    rows = validate(request, served.spec, served.most_rows)
    names = served.output_names
    if request.outputs:
        names = tuple(output.name for output in request.outputs)
    # Where validate() has put views in place of what came, it has to do that each time.
    if request.form is not None and all(map(is_, came, request.inputs.values())):
        if len(served.fits) >= _MOST_FORMS:
            served.fits.clear()
        served.fits[request.form] = rows, names
    return rows, names


def _response(request: InferRequest, served: ServedVersion, outputs: Mapping[str, Array]) -> InferResponse:
    if served.reshaped_outputs:
        outputs = _as_clients_see(outputs, served)
    if request.outputs:
        outputs = classify_outputs(request.outputs, outputs, served.spec)
    return InferResponse(request.model_name, served.spec.version, request.id, outputs)


def _as_clients_see(outputs: Mapping[str, Array], served: ServedVersion) -> dict[str, Array]:
    reshaped, batches = served.reshaped_outputs, served.spec.batches
    return {
        name: as_clients_see(array, reshaped[name], batches=batches) if name in reshaped else array
        for name, array in outputs.items()
    }
