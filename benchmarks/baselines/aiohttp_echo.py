"""A bare aiohttp application on uvloop that answers with the body it was sent."""

import asyncio
import signal

import uvloop
from aiohttp import web


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
    print("http", runner.addresses[0][1], flush=True)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    await runner.cleanup()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
