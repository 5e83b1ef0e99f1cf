"""`python -m sim_core soak`."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from sim_core.cli.options import json_option
from sim_core.cli.output import print_json, print_table, printable, progress_bar
from sim_core.games import GAMES
from sim_core.soak.running import Soak, Verdict, run_soak
from sim_core.soak.server import own_server


@click.command("soak")
@click.option(
    "--minutes",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    help="How long; a round of every disturbance is done in any case.",
)
@click.option("--serve", is_flag=True, help="Start onnxd on a copy of the repository, for the soak alone.")
@click.option("--url", help="Of a server that watches the repository; its own models are left alone.")
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    default="model_repository",
    show_default=True,
    help="The server's directory of models; with --serve, what is copied.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=1,
    show_default=True,
    help="Of the matches, the weights, and the order of disturbances.",
)
@click.option(
    "--replay", type=click.Path(path_type=Path), help="Directory to keep the replays of all rounds in."
)
@json_option
def command(
    minutes: float,
    serve: bool,
    url: str | None,
    repository: Path,
    seed: int,
    replay: Path | None,
    as_json: bool,
) -> None:
    """Play matches while models are reloaded, unloaded and broken underneath, and tell whether that did harm.

    The soak puts two models of its own, soak_policy and soak_still, into the repository, and removes them at
    its end. Exit code 1: it did.
    """
    if serve == (url is not None):
        raise click.UsageError("expected --serve, or the --url of a server together with its --repository")
    seconds = minutes * 60
    with progress_bar("seconds", int(seconds)) as advance:
        shown = 0

        def progress(now_s: float) -> None:
            nonlocal shown
            reached = min(int(now_s), int(seconds))
            advance(reached - shown)
            shown = reached

        verdict = asyncio.run(_run(url, repository, seconds, seed, replay, progress))
    document = verdict_document(verdict)
    if as_json:
        print_json(document)
    else:
        _print(document)
    if verdict.failures:
        raise click.exceptions.Exit(1)


async def _run(
    url: str | None, repository: Path, seconds: float, seed: int, replay: Path | None, progress: Any
) -> Verdict:
    async with AsyncExitStack() as resources:
        scratch = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="sim-core-soak-")))
        server = None
        async with AsyncExitStack() as running:
            if url is None:
                server = await running.enter_async_context(own_server(repository))
                url, repository = server.url, server.repository
            verdict = await run_soak(
                Soak(
                    game=GAMES["arena"](),
                    url=url,
                    repository=repository,
                    seconds=seconds,
                    seed=seed,
                    replays=replay or scratch,
                    keep=replay is not None,
                ),
                progress,
            )
        if server is not None and server.exit_code != 0:
            verdict.failures[f"the server ended with exit code {server.exit_code}"] += 1
        return verdict


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain JSON values."""
    return {
        "passed": not verdict.failures,
        "rounds": verdict.rounds,
        "matches": verdict.matches,
        "ticks": verdict.ticks,
        "answers": verdict.answers,
        "not_answered_while_away": dict(sorted(verdict.allowed.items())),
        "disturbances": dict(sorted(verdict.disturbances.items())),
        "failures": dict(sorted(verdict.failures.items())),
    }


def _print(document: dict[str, Any]) -> None:
    click.echo(
        f"{document['matches']} matches, {document['ticks']} ticks, {document['answers']} answers; "
        f"{sum(document['not_answered_while_away'].values())} decisions came while their version was away"
    )
    print_table(("DISTURBANCE", "TIMES"), document["disturbances"].items())
    for failure, times in document["failures"].items():
        click.echo(printable(f"FAILED: {failure} ({times} times)"))
    click.echo("passed" if document["passed"] else "failed")
