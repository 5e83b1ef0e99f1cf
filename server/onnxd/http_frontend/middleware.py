"""The outermost layer of every request: it settles what can be settled from the head, and nothing gets past
it but answers of ours."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Final

import structlog
from aiohttp import HttpVersion10, HttpVersion11, web

from onnxd.errors import MalformedPayload, NotFound, NotSupported, ServerError, Unavailable
from onnxd.http_frontend.call import Call, Route
from onnxd.http_frontend.credentials import credentials_of
from onnxd.http_frontend.errors import CLIENT_GONE, refusal, response_to
from onnxd.http_frontend.router import Router
from onnxd.protocol.names import check_model_name, parse_version
from onnxd.protocol.shared_memory import check_region_name
from onnxd.security.gate import Gate, require
from onnxd.security.operations import OPERATIONS
from onnxd.security.origin import check_origin
from onnxd.security.rates import NOTHING, Hold
from onnxd.telemetry import audit
from onnxd.telemetry.access import Outcome, log_access
from onnxd.telemetry.refusals import Refusals
from onnxd.telemetry.request_headers import REQUEST_ID, valid_request_id

_DENIED: Final = frozenset({401, 403})

_log = structlog.get_logger(__name__)


class Boundary:
    """What aiohttp calls for every request that it could parse."""

    def __init__(self, routes: Iterable[Route], host: str, refusals: Refusals, gate: Gate) -> None:
        """`host` is the address that is listened on, against which admin requests are checked."""
        self._gate = gate
        self._router = Router(routes)
        self._host = host
        self._refusals = refusals
        self.draining = False
        """Whether answers ask their clients to connect elsewhere next time."""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        call = Call(request, time.monotonic_ns())
        error = ""
        try:
            admitted = self._admit(call)
            if isinstance(admitted, Route):
                with self._held(admitted, call):
                    response = await admitted.handler(call)
                if call.error_kind is not None:
                    self._refusals.count(call.error_kind)
            else:
                self._refusals.count(NotFound if admitted.status == 404 else NotSupported)
                response = admitted
        except ServerError as raised:
            self._refusals.count(type(raised))
            error = raised.message
            response = response_to(raised)
        except asyncio.CancelledError:
            _log_access(call, CLIENT_GONE, "the client closed the connection")
            raise
        except (ConnectionError, web.RequestPayloadError) as raised:
            # Either the client is gone, and nobody reads this, or the framing of its body broke.
            self._refusals.count(MalformedPayload)
            error = str(raised)
            response = refusal(400, "the request's body broke off, or its framing is not well-formed")
        except MemoryError:
            self._refusals.count(Unavailable)
            error = "no memory for this request now; try again later, or send less at once"
            response = refusal(503, error, {"Retry-After": "1"})
        except Exception:  # whatever it is, it is our bug, and the client must not read it
            self._refusals.count(ServerError)
            response, error = _opaque(call)
        finally:
            if call.payload is not None:
                call.payload.release()
        if error and request.writer.output_size > 0:
            # A refusal now would land in the middle of the answer: the connection ends instead.
            raise ConnectionError(error)
        if call.header_id and not response.prepared:
            response.headers.setdefault(REQUEST_ID, call.header_id)
        if self.draining or (response.status >= 400 and not request.content.is_eof()):
            response.force_close()
        _log_access(call, response.status, error or call.error)
        return response

    def _admit(self, call: Call) -> Route | web.Response:
        """The call's route, or a refusal. Raises InvalidName, PermissionDenied, Unauthenticated, and
        MalformedPayload for more than one credential."""
        request = call.request
        if REQUEST_ID in request.headers:
            call.header_id = valid_request_id(request.headers[REQUEST_ID])
        if request.version not in (HttpVersion11, HttpVersion10):
            # aiohttp parses any version that has the form, and would go on as if it were 1.1.
            return refusal(505, "expected HTTP/1.1 or HTTP/1.0")
        found = self._router.find(_path_of(request))
        if found is None:
            if request.method == "CONNECT":
                return _method_not_allowed({})
            return refusal(404, "Not Found")
        route = call.route = found.methods.get(request.method)
        if route is None:
            return _method_not_allowed(found.methods)
        if "Expect" in request.headers and request.headers["Expect"].lower() != "100-continue":
            return refusal(417, "expected no other 'Expect' than 100-continue")
        if OPERATIONS[route.operation].admin:  # a browser must not be talked into them
            check_origin(
                listening_on=self._host,
                host=_host_of(request),
                origin=request.headers.get("Origin"),
            )
        if "{model}" in route.path:
            call.model = check_model_name(found.model)
            call.version = parse_version(found.version)
        elif "{region}" in route.path:
            call.region = check_region_name(found.region)
        else:
            call.model = route.model
        if not self._gate.open:
            call.caller = self._gate.admit(route.operation, credentials_of(request, self._gate))
            if call.model:
                require(call.caller, route.operation, call.model)
        return route

    def _held(self, route: Route, call: Call) -> Hold:
        """What an inference request holds of its caller's share. Raises RateLimited and Unavailable."""
        if route.operation != "infer" or not self._gate.rates.on:
            return NOTHING
        return self._gate.rates.hold(call.caller.principal, call.request.remote or "", call.model)


def _path_of(request: web.BaseRequest) -> str:
    """The path as it was sent, percent-encoding and all, without the query."""
    target = request.raw_path
    if not target.startswith("/"):
        # The absolute form, which proxies send, and `*`.
        return request.rel_url.raw_path
    return target.partition("?")[0]


def _host_of(request: web.BaseRequest) -> str | None:
    """Whom the request is for: in its absolute form that is in the target, whatever the header says."""
    # request.host looks the machine's own name up when there is no header.
    return request.headers.get("Host") if request.raw_path.startswith("/") else request.host


def _method_not_allowed(methods: Mapping[str, Route]) -> web.Response:
    return refusal(405, "Method Not Allowed", {"Allow": ", ".join(sorted(methods)) or "GET, POST"})


def _opaque(call: Call) -> tuple[web.Response, str]:
    """For a bug of ours: the log has the traceback, the client a number to quote."""
    number = secrets.token_hex(8)
    operation = call.route.label if call.route else call.request.method
    _log.exception("a request failed", operation=operation, request_id=number)
    response = refusal(500, f"internal error (request id {number})", {REQUEST_ID: number})
    return response, f"internal error {number}"


def _log_access(call: Call, status: int, error: str) -> None:
    outcome: Outcome = "answered" if status < 400 else "failed" if status == 500 else "refused"
    if call.route is not None and (OPERATIONS[call.route.operation].admin or status in _DENIED):
        audit.record(
            call.route.operation,
            outcome,
            status,
            principal=call.caller.principal.name,
            peer=call.request.remote or "",
            method=call.route.label,
            model=call.model,
            reason=error,
        )
    log_access(
        outcome,
        call.route.label if call.route else call.request.method,
        status,
        time.monotonic_ns() - call.received_ns,
        model=call.model,
        version=call.version,
        request_id=call.request_id,
        trace_id=call.trace_id,
        principal=call.caller.principal.name,
        peer=(call.request.remote or "") if status >= 400 else "",
        error=error,
        header_id=call.header_id,
        timeline=call.timeline,
    )
