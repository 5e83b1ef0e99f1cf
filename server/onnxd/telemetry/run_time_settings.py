"""What of the server's telemetry clients may change while it runs."""

from dataclasses import dataclass

from onnxd.errors import PermissionDenied
from onnxd.telemetry.log_settings import LogChange, LogSettings
from onnxd.telemetry.trace_settings import TraceChange, TraceSettings


@dataclass(frozen=True, slots=True)
class RunTimeSettings:
    """Trace and log settings for both front ends. Everybody may read them."""

    trace: TraceSettings
    log: LogSettings
    by_api: bool = True
    """Whether clients may change them."""

    def change_trace(self, change: TraceChange, model: str = "") -> None:
        """Change trace settings, of a model or of all (""); an empty change does nothing.

        Raises PermissionDenied, InvalidRequest.
        """
        if change:
            self._check_permitted()
            self.trace.update(change, model)

    def change_log(self, change: LogChange) -> None:
        """Change log settings; an empty change does nothing. Raises PermissionDenied, NotSupported."""
        if change:
            self._check_permitted()
            self.log.update(change)

    def _check_permitted(self) -> None:
        if not self.by_api:
            raise PermissionDenied(
                "changing trace and log settings over the network is not permitted here "
                "(setting settings_api)"
            )
