"""A service that is ready at once and stops on request: `fake_service.py OBSERVABILITY_PORT`."""

import asyncio
import json
import os
import signal
import sys

from aiohttp import web


async def main(port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = web.Application()
    app.router.add_get("/readyz", _ready)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    settings = {name: value for name, value in os.environ.items() if name.startswith("RINGBACK_")}
    sys.stdout.write(json.dumps({"level": "info", "event": "webhook.seen", "env": settings}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await runner.cleanup()


async def _ready(_: web.Request) -> web.Response:
    await asyncio.sleep(0)
    return web.Response(text="ok")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
