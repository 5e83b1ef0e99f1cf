"""The outermost layer of every request: it settles what can be settled from the head, and nothing gets past
it but answers of ours."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import structlog
from aiohttp import HttpVersion10, HttpVersion11, web

from onnxd.errors import MalformedPayload, NotFound, NotSupported, ServerError, Unavailable
from onnxd.http_frontend.call import Call, Exchange, Route
from onnxd.http_frontend.credentials import credentials_of
from onnxd.http_frontend.errors import CLIENT_GONE, Refusal, refusal_of
from onnxd.http_frontend.rate_headers import left_headers
from onnxd.http_frontend.router import Router
from onnxd.protocol.names import check_model_name, parse_version
from onnxd.protocol.shared_memory import check_region_name
from onnxd.security.gate import Gate, require
from onnxd.security.operations import OPERATIONS
from onnxd.security.origin import check_origin
from onnxd.security.rates import NOTHING, Hold
from onnxd.telemetry import audit
from onnxd.telemetry.access import Outcome, log_access, log_answered
from onnxd.telemetry.refusals import Refusals
from onnxd.telemetry.request_headers import REQUEST_ID, valid_request_id

_ANSWERED: Final = 200
_DENIED: Final = frozenset({401, 403})

_log = structlog.get_logger(__name__)


class Boundary:
    """What aiohttp calls for every request that it could parse; and, for whatever else answers requests, the
    same decisions one by one (locate, permitted, refused, log)."""

    def __init__(self, routes: Iterable[Route], host: str, refusals: Refusals, gate: Gate) -> None:
        """`host` is the address that is listened on, against which admin requests are checked."""
        self._gate = gate
        self._router = Router(routes)
        self._host = host
        self._refusals = refusals
        self.draining = False
        """Whether answers ask their clients to connect elsewhere next time."""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        call = Call(
            request.method,
            _path_of(request),
            request.headers,
            request.remote or "",
            request.transport,
            time.monotonic_ns(),
            request=request,
        )
        try:
            outcome = await self._respond(call)
        except BaseException as raised:
            outcome = self.refused(call, raised)
        finally:
            if call.payload is not None:
                call.payload.release()
        if isinstance(outcome, Refusal):
            if call.error and request.writer.output_size > 0:
                # A refusal now would land in the middle of the answer: the connection ends instead.
                raise ConnectionError(call.error)
            response: web.StreamResponse = outcome.response()
        else:
            response = outcome
        if not response.prepared:
            if call.header_id:
                response.headers.setdefault(REQUEST_ID, call.header_id)
            if call.rated is not None:
                response.headers.update(self.left(call))
        if self.draining or (response.status >= 400 and not request.content.is_eof()):
            response.force_close()
        self.log(call, response.status)
        return response

    async def _respond(self, call: Call) -> web.StreamResponse | Refusal:
        request = call.request
        if REQUEST_ID in request.headers:
            call.header_id = valid_request_id(request.headers[REQUEST_ID])
        if request.version not in (HttpVersion11, HttpVersion10):
            # aiohttp parses any version that has the form, and would go on as if it were 1.1.
            route: Route | Refusal = Refusal(505, "expected HTTP/1.1 or HTTP/1.0")
        else:
            route = self.locate(call)
        if isinstance(route, Refusal):
            self._refusals.count(NotFound if route.status == 404 else NotSupported)
            return route
        if OPERATIONS[route.operation].admin:  # a browser must not be talked into them
            check_origin(listening_on=self._host, host=call.host(), origin=request.headers.get("Origin"))
        with self.permitted(route, call):
            response = await route.handler(call)
        if call.error_kind is not None:
            self._refusals.count(call.error_kind)
        return response

    def locate(self, call: Exchange) -> Route | Refusal:
        """Where a request's head leads, which the call remembers. Raises InvalidName."""
        found = self._router.find(call.path)
        if found is None:
            if call.method == "CONNECT":
                return _method_not_allowed({})
            return Refusal(404, "Not Found")
        route = call.route = found.methods.get(call.method)
        if route is None:
            return _method_not_allowed(found.methods)
        if "Expect" in call.headers and call.headers["Expect"].lower() != "100-continue":
            return Refusal(417, "expected no other 'Expect' than 100-continue")
        if "{model}" in route.path:
            call.model = check_model_name(found.model)
            call.version = parse_version(found.version)
        elif "{region}" in route.path:
            call.region = check_region_name(found.region)
        else:
            call.model = route.model
        return route

    def permitted(self, route: Route, call: Exchange) -> Hold:
        """Whether the caller may: what an inference request holds of its share, to be held while it is
        answered. Raises PermissionDenied, Unauthenticated, RateLimited, Unavailable, and MalformedPayload for
        more than one credential."""
        if not self._gate.open:
            verdict, edition = call.verdict, self._gate.edition
            known = None if verdict is None or edition is None else verdict.caller(edition, time.time())
            if known is not None:
                call.caller = known
            else:
                credentials = credentials_of(call.headers, call.peer, call.transport, self._gate)
                call.caller = self._gate.identify(route.operation, credentials)
                require(call.caller, route.operation, call.model)
                if verdict is not None and edition is not None:
                    verdict.note(call.caller, edition)
        if route.operation != "infer" or not self._gate.rates.on:
            return NOTHING
        hold = self._gate.rates.hold(call.caller.principal, call.peer, call.model)
        if hold.rated is not None:
            call.rated = hold.rated
        return hold

    def refused(self, call: Exchange, raised: BaseException) -> Refusal:
        """What is answered for what an exchange has raised, counted, with the reason as the call's `error`.
        Raises CancelledError again, logged: nobody reads an answer to that."""
        match raised:
            case ServerError():
                kind: type[ServerError] = type(raised)
                call.error = raised.message
                refusal = refusal_of(raised)
            case ConnectionError() | web.RequestPayloadError():
                # Either the client is gone, and nobody reads this, or the framing of its body broke.
                kind, call.error = MalformedPayload, str(raised)
                refusal = Refusal(400, "the request's body broke off, or its framing is not well-formed")
            case MemoryError():
                kind = Unavailable
                call.error = "no memory for this request now; try again later, or send less at once"
                refusal = Refusal(503, call.error, {"Retry-After": "1"})
            case Exception():  # whatever it is, it is our bug, and the client must not read it
                kind, refusal = ServerError, _opaque(call, raised)
            case _:
                if isinstance(raised, asyncio.CancelledError):
                    call.error = "the client closed the connection"
                    self.log(call, CLIENT_GONE)
                raise raised
        self._refusals.count(kind)
        if call.rated is not None:
            refusal = replace(refusal, headers=self.left(call) | dict(refusal.headers))
        return refusal

    def left(self, call: Exchange) -> dict[str, str]:
        """The headers that tell a caller what is left of its rate; none for one that has no rate."""
        left = self._gate.rates.left(call.rated)
        return {} if left is None else left_headers(left)

    def log(self, call: Exchange, status: int) -> None:
        """The line of the access log, and of the audit log where there is one."""
        if status == _ANSWERED and call.timeline is not None and call.route is not None:
            log_answered(
                call.route.label, status, call.timeline, call.model, call.version, call.caller.principal.name,
                call.request_id, call.header_id, call.trace_id,
            )  # fmt: skip
            return
        outcome: Outcome = "answered" if status < 400 else "failed" if status == 500 else "refused"
        if call.route is not None and (OPERATIONS[call.route.operation].admin or status in _DENIED):
            audit.record(
                call.route.operation,
                outcome,
                status,
                principal=call.caller.principal.name,
                peer=call.peer,
                method=call.route.label,
                model=call.model,
                reason=call.error,
            )
        log_access(
            outcome,
            call.route.label if call.route else call.method,
            status,
            time.monotonic_ns() - call.received_ns,
            model=call.model,
            version=call.version,
            request_id=call.request_id,
            trace_id=call.trace_id,
            principal=call.caller.principal.name,
            peer=call.peer if status >= 400 else "",
            error=call.error,
            header_id=call.header_id,
            timeline=call.timeline,
        )


def _path_of(request: web.BaseRequest) -> str:
    target = request.raw_path
    if not target.startswith("/"):
        # The absolute form, which proxies send, and `*`.
        return request.rel_url.raw_path
    return target.partition("?")[0]


def _method_not_allowed(methods: Mapping[str, Route]) -> Refusal:
    return Refusal(405, "Method Not Allowed", {"Allow": ", ".join(sorted(methods)) or "GET, POST"})


def _opaque(call: Exchange, bug: Exception) -> Refusal:
    """For a bug of ours: the log has the traceback, the client a number to quote."""
    number = secrets.token_hex(8)
    operation = call.route.label if call.route else call.method
    _log.error("a request failed", operation=operation, request_id=number, exc_info=bug)
    call.error = f"internal error {number}"
    return Refusal(500, f"internal error (request id {number})", {REQUEST_ID: number})
