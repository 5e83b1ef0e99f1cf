"""From names to policies: `random`, `scripted`, `MODEL`, `MODEL:VERSION`."""

import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnxd_client import AsyncClient, ModelMetadata, NotFound, ServerError, Unavailable
from sim_core.errors import BadPolicy, ServerAway, SimulationError
from sim_core.game import Game
from sim_core.games import scripted_rule
from sim_core.policies.local import RandomPolicy, ScriptedPolicy
from sim_core.policies.policy import Policy
from sim_core.policies.served import Asking, ServedPolicy, Tensors
from sim_core.replays.documents import ServerEntry

LOCAL = ("random", "scripted")
_SERVED = re.compile(r"(?P<model>[A-Za-z0-9][A-Za-z0-9_.-]*)(?::(?P<version>[1-9][0-9]*))?")


@dataclass(frozen=True, slots=True)
class Opened:
    """Policies by the order of their names, and the server of those that are served."""

    policies: list[Policy]
    server: ServerEntry | None


async def open_policies(
    names: Sequence[str], game: Game[Any], *, seed: int, url: str, asking: Asking, resources: AsyncExitStack
) -> Opened:
    """Their connection lasts as long as `resources`. The server is asked only if a policy is served.

    Raises BadPolicy for a name that means nothing and a model that does not serve or does not fit the game,
    ServerAway where nothing listens.
    """
    client, server = None, None
    if any(name not in LOCAL for name in names):
        client, server = await _connected(url, resources)
    policies: list[Policy] = []
    for name in names:
        if name == "random":
            policies.append(
                RandomPolicy(
                    seed=seed, agents=len(game.team_of), ticks=game.most_ticks, actions=len(game.actions)
                )
            )
        elif name == "scripted":
            policies.append(ScriptedPolicy(scripted_rule(game)))
        elif client is not None:
            policies.append(await _served(client, name, game, asking))
    return Opened(policies, server)


async def _connected(url: str, resources: AsyncExitStack) -> tuple[AsyncClient, ServerEntry]:
    try:
        client = await resources.enter_async_context(AsyncClient(url))
    except ValueError as error:
        raise SimulationError(f"--url {error}") from error
    try:
        metadata = await client.server()
    except Unavailable as error:
        raise ServerAway(f"no server answers: {error.message}") from error
    except ServerError as error:
        raise SimulationError(f"{url}: {error.message}") from error
    return client, ServerEntry(url, metadata.name, metadata.version)


async def _served(client: AsyncClient, name: str, game: Game[Any], asking: Asking) -> ServedPolicy:
    parts = _SERVED.fullmatch(name)
    if parts is None:
        raise BadPolicy(f"policy {name!r}: expected random, scripted, MODEL or MODEL:VERSION")
    model, version = parts["model"], None if parts["version"] is None else int(parts["version"])
    try:
        metadata = await client.metadata(model, version)
        tensors = _tensors(name, metadata, game)
        # One request ahead: whether it answers as it says, and with which weights.
        reply = await client.infer(
            model, {tensors.observation: np.zeros((1, game.observation_size), np.float32)}, version=version
        )
    except NotFound as error:
        raise BadPolicy(
            f"policy {name!r}: {error.message}; the local ones are random and scripted"
        ) from error
    except ServerError as error:
        raise BadPolicy(f"policy {name!r}: {error.message}") from error
    if reply[tensors.scores].shape != (1, len(game.actions)):
        raise BadPolicy(
            f"policy {name!r}: its output {tensors.scores!r} has shape {list(reply[tensors.scores].shape)} "
            f"for one observation, expected [1, {len(game.actions)}]: a score for each action of {game.name}"
        )
    if tensors.weights is not None:
        tensors = replace(tensors, fingerprint=int(reply[tensors.weights].reshape(-1)[0]))
    return ServedPolicy(client, name, model, version, tensors, asking)


def _tensors(name: str, metadata: ModelMetadata, game: Game[Any]) -> Tensors:
    wanted = f"{game.name} gives observations FP32 [-1, {game.observation_size}]"
    if len(metadata.inputs) != 1:
        raise BadPolicy(f"policy {name!r}: has {len(metadata.inputs)} inputs, expected one: {wanted}")
    (taken,) = metadata.inputs
    if taken.datatype != "FP32" or len(taken.shape) != 2 or taken.shape[1] not in (-1, game.observation_size):
        raise BadPolicy(
            f"policy {name!r}: takes {taken.name!r} as {taken.datatype} {list(taken.shape)}; {wanted}"
        )
    outputs = {output.name: output for output in metadata.outputs}
    scores = "scores" if "scores" in outputs or not metadata.outputs else metadata.outputs[0].name
    if scores not in outputs or outputs[scores].datatype not in ("FP32", "FP64"):
        raise BadPolicy(f"policy {name!r}: has no output of FP32 scores; it has {', '.join(outputs)}")
    weights = outputs.get("weights")
    has_fingerprint = weights is not None and weights.datatype == "INT64"
    return Tensors(taken.name, scores, len(game.actions), "weights" if has_fingerprint else None)
