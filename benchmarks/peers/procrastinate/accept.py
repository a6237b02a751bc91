"""aiohttp, which answers when the job is committed."""

import asyncio
import sys

from aiohttp import web

from benchmarks.peers.procrastinate.tasks import app, process


async def _accept(request: web.Request) -> web.Response:
    await process.defer_async(body=await request.json())
    return web.json_response({"success": True})


async def serve(port: int) -> None:
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        server = web.Application(client_max_size=8 * 1024 * 1024)
        server.router.add_post("/", _accept)
        runner = web.AppRunner(server, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
