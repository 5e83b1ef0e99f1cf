"""A bare aiohttp application on uvloop that answers with the body it was sent."""

from aiohttp import web

from benchmarks.baselines.listening import run, stay


async def echo(request: web.Request) -> web.Response:
    """The body, back."""
    return web.Response(body=await request.read())


async def main() -> None:
    """Listen, say where, and end on SIGTERM."""
    application = web.Application()
    application.router.add_post("/{path:.*}", echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await stay("http", runner.addresses[0][1])
    await runner.cleanup()


if __name__ == "__main__":
    run(main())
