"""`onnxd serve`."""

from functools import partial

import click

from onnxd.cli.setting_options import SettingsCommand, loaded_settings


@click.command("serve", cls=SettingsCommand)
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> None:
    """Serve the models of a repository over HTTP and gRPC until SIGTERM or Ctrl-C.

    Every option is also a key of the settings file (--http-port: http.port) and a variable (ONNXD_HTTP_PORT).
    A flag beats a variable, which beats the file.
    """
    loaded = loaded_settings(ctx)

    from onnxd.cli.running import StartFailed, run
    from onnxd.grpc_frontend.transport import PortTaken as GrpcPortTaken
    from onnxd.http_frontend.listener import PortTaken as HttpPortTaken
    from onnxd.repository.object_store.bucket import ObjectStorageUnavailable
    from onnxd.repository.store import StateDirectoryUnusable
    from onnxd.security.jwt_config import TokenKeysUnusable
    from onnxd.security.key_file import KeyFileUnusable
    from onnxd.security.opening import AuthUnusable
    from onnxd.security.tls import TlsUnusable
    from onnxd.shared_memory.regions import SharedMemoryUnavailable
    from onnxd.telemetry.audit import AuditUnusable
    from onnxd.telemetry.otlp import TracingUnavailable
    from onnxd.telemetry.recorder import RecorderUnusable
    from onnxd.workers.failures import WorkersFailed

    refusals: list[Exception] = []
    code = 1
    try:
        code = run(loaded.settings, partial(click.echo, err=True))
    except* (
        StartFailed,
        StateDirectoryUnusable,
        ObjectStorageUnavailable,
        TracingUnavailable,
        SharedMemoryUnavailable,
        GrpcPortTaken,
        HttpPortTaken,
        AuditUnusable,
        RecorderUnusable,
        AuthUnusable,
        TlsUnusable,
        TokenKeysUnusable,
        KeyFileUnusable,
        WorkersFailed,
    ) as group:
        # Alone or, out of a task group, several: each is a sentence for the operator.
        refusals = list(_leaves(group))
    if refusals:
        # Workers refuse alike: each reason is told once.
        raise click.ClickException("\n".join(dict.fromkeys(map(str, refusals))))
    ctx.exit(code)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    leaves: list[Exception] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
