"""Answers 200 after the publisher confirm, as the tutorial of aio-pika publishes.

Without the URL of a broker, it answers at once: the floor of an aiohttp server.
"""

import asyncio
import os
import sys
from uuid import uuid4

import aio_pika
import orjson
import uvloop
from aiohttp import web

QUEUE = "plain"
_QUORUM = {"x-queue-type": "quorum"}


async def serve(port: int, amqp_url: str) -> None:
    app = web.Application(client_max_size=8 * 1024 * 1024)
    if not amqp_url:
        app.router.add_post("/", _answer)
    else:
        connection = await aio_pika.connect_robust(amqp_url)
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue(QUEUE, durable=True, arguments=_QUORUM)

        async def publish(request: web.Request) -> web.Response:
            body = await request.read()
            orjson.loads(body)
            message = aio_pika.Message(
                body,
                message_id=str(uuid4()),
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            await channel.default_exchange.publish(message, QUEUE)
            return web.json_response({"success": True})

        app.router.add_post("/", publish)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def _answer(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response({"success": True})


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), os.environ["AMQP_URL"]))
