"""Where the nodes of a served version run: profiled when somebody asks, in a trial's process, once a version.

Not at each load: profiling builds the session a second time.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from weakref import WeakKeyDictionary

from onnxd.errors import InvalidRequest, LoadFailed, Unavailable
from onnxd.repository.served import Lease, ServedVersion
from onnxd.runtime.node_profile import PLACEMENT
from onnxd.runtime.trial import TrialRoom

_RETRY_AFTER_S: Final = 2.0


class PlacementReports:
    """Makes reports, one at a time, and keeps them for as long as their versions."""

    def __init__(self, trials: TrialRoom) -> None:
        self._trials = trials
        self._busy = asyncio.Lock()
        self._known: WeakKeyDictionary[ServedVersion, dict[str, Any]] = WeakKeyDictionary()

    async def of(self, served: ServedVersion) -> dict[str, Any]:
        """The report of a version that serves.

        Raises Unavailable while another is being made, and InvalidRequest for a model that cannot be run on
        made-up inputs.
        """
        with Lease(served):  # its files stay
            if (known := self._known.get(served)) is not None:
                return known
            if self._busy.locked():
                raise Unavailable(
                    "another placement report is being made; ask again when it is done",
                    retry_after_s=_RETRY_AFTER_S,
                )
            async with self._busy:
                report = self._known[served] = await self._profile(served)
                return report

    async def _profile(self, served: ServedVersion) -> dict[str, Any]:
        name = served.spec.name
        if served.tried is None:
            raise InvalidRequest(f"model '{name}' was not loaded from a file, so it cannot be profiled")
        # A directory of the server's: it goes, whatever becomes of the process that writes into it.
        with TemporaryDirectory(prefix="onnxd-profile-") as directory:
            request = replace(served.tried, profile=Path(directory), examinations={PLACEMENT: {}})
            try:
                tried = await self._trials.rehearse(request)
            except LoadFailed as error:
                raise InvalidRequest(f"model '{name}' cannot be profiled: {error.message}") from error
        if tried.guess_failure:
            raise InvalidRequest(
                f"model '{name}' cannot be profiled, since a run on made-up inputs failed: "
                f"{tried.guess_failure}; give it warmup.samples in its config.yaml"
            )
        return {
            "model_name": name,
            "model_version": str(served.spec.version),
            "session_providers": list(tried.providers),
            **tried.findings[PLACEMENT],
        }
