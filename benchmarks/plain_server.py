"""The plainest handler there is: it awaits an aio-pika confirm, and answers. The yardstick."""

import argparse
import asyncio

import aio_pika
import uvloop
from aiohttp import web

QUEUE = "plain"


async def serve(amqp_url: str, port: int) -> None:
    connection = await aio_pika.connect_robust(amqp_url)
    channel = await connection.channel(publisher_confirms=True)
    await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, QUEUE)
        return web.json_response({"success": True})

    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_post("/", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("amqp_url")
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    uvloop.run(serve(options.amqp_url, options.port))


if __name__ == "__main__":
    main()
