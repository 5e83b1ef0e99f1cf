"""The repository of a server of several workers: the supervisor decides what serves, the workers serve it.

The lifecycle is the one of a single process. Where that opens a version, all workers are told to; where it
swaps its catalog, theirs follow.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

from onnxd.protocol.load_parameters import LoadOverride
from onnxd.repository.catalog import Catalog, VersionState
from onnxd.repository.config import ModelConfig
from onnxd.repository.config_file import LoadedConfig
from onnxd.repository.examined_json import examined_to_json
from onnxd.repository.loader import Loader
from onnxd.repository.model_settings import ModelSettings
from onnxd.repository.override import Override
from onnxd.repository.served import ServedVersion
from onnxd.repository.store import SnapshotStore, StoredFiles
from onnxd.scheduler.batch import Alone
from onnxd.scheduler.batcher import Batcher
from onnxd.scheduler.clock import LoopClock
from onnxd.scheduler.single_flight import Spawn
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.workers.crew import Crew
from onnxd.workers.orders import ModelOrder, Prepare, states_to_json
from onnxd_protos import model_config_pb2 as config_pb

_MOST_BROUGHT: Final = 256


class FleetVersion(ServedVersion):
    """A version that serves in the workers. Nothing runs here."""

    def __init__(
        self, load: int, crew: Crew, store: SnapshotStore, resources: AsyncExitStack, **given: Any
    ) -> None:
        super().__init__(
            **given,
            batcher=Batcher(
                given["spec"].name,
                [],
                max_rows=0,
                form=Alone(),
                policy=given["config"].batching.policy(),
                statistics=ModelStatistics(),
                clock=LoopClock(asyncio.get_running_loop()),
            ),
            statistics=ModelStatistics(),
            resources=resources,
        )
        self.load: Final = load
        self._crew = crew
        self._store = store
        self._copies = resources

    @property
    def broken(self) -> str:
        return self._crew.broken(self.load)

    def reconfigure(
        self,
        config: ModelConfig,
        identity: str,
        stated: config_pb.ModelConfig | None = None,
        loaded: LoadedConfig | None = None,
    ) -> None:
        super().reconfigure(config, identity, stated, loaded)
        settings = identity.partition(":")[0]
        # Kept for workers that start later.
        self._copies.callback(self._store.release, self._store.hold(settings))
        self._crew.reconfigure(self.load, settings, identity)


class FleetCatalog(Catalog):
    """The catalog that the workers' follow."""

    def __init__(self, crew: Crew) -> None:
        super().__init__()
        self._crew = crew

    def note(self, name: str, states: Mapping[int, VersionState], trouble: str = "") -> None:
        super().note(name, states, trouble)
        self._tell(name)

    def swap(
        self, name: str, served: Mapping[int, ServedVersion], states: Mapping[int, VersionState]
    ) -> tuple[ServedVersion, ...]:
        gone = super().swap(name, served, states)
        self._tell(name)
        return gone

    def conclude(self, name: str, version: int, state: VersionState, outcome: VersionState) -> None:
        super().conclude(name, version, state, outcome)
        self._tell(name)

    def forget(self, name: str) -> None:
        super().forget(name)
        self._crew.forget_model(name)

    def _tell(self, name: str) -> None:
        states, trouble = self.states(name)
        served = {
            number: version.load
            for number, version in self.serving(name).items()
            if isinstance(version, FleetVersion)
        }
        self._crew.set_model(ModelOrder(name, served, states_to_json(states), trouble))


class FleetLoader(Loader):
    """Examines a version here, and has every worker open it."""

    def __init__(self, crew: Crew, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._crew = crew
        self._loads = itertools.count(1)
        self._brought: OrderedDict[str, str] = OrderedDict()
        """The configs that load calls have brought, by the digest of the override."""

    async def read_override(self, model: str, given: LoadOverride) -> Override:
        override = await super().read_override(model, given)
        self._brought[override.digest] = given.config
        while len(self._brought) > _MOST_BROUGHT:
            self._brought.popitem(last=False)
        return override

    async def load(
        self,
        settings: ModelSettings,
        stored: StoredFiles,
        number: int,
        identity: str,
        spawn: Spawn,
        *,
        again: bool = False,
    ) -> ServedVersion:
        async with AsyncExitStack() as resources:
            resources.push_async_callback(self.release, stored)
            beside = await self.hold_version(settings.stored.digest)
            resources.push_async_callback(self.release, beside)
            begun = await self.begin(
                resources, settings, stored, number, identity, again=again, processes=self._crew.count
            )
            examined = begun.examined
            order = Prepare(
                load=next(self._loads),
                model=settings.name,
                version=number,
                identity=identity,
                settings=beside.digest,
                settings_identity=settings.digest,
                files=stored.digest,
                config=self._brought.get(settings.digest),
                threads=begun.threads,
                examined=examined_to_json(examined),
            )
            resources.push_async_callback(self._crew.discard, order.load)
            await self._crew.prepare(order)
            self.memory.loaded(begun.memory)
            report = begun.report()
            self.know(settings.name, number, identity, examined)
            return FleetVersion(
                order.load,
                self._crew,
                self.store,
                resources.pop_all(),
                spec=examined.spec,
                config=settings.config,
                identity=identity,
                report=report,
                stated=settings.loaded.stated,
                tried=examined.request,
            )
