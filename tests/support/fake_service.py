"""A service that is ready at once and stops on request: `fake_service.py OBSERVABILITY_PORT`."""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress

# Without a library for HTTP, which would take most of the time of a start.
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


async def main(port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(_answer, "127.0.0.1", port)
    settings = {name: value for name, value in os.environ.items() if name.startswith("RINGBACK_")}
    sys.stdout.write(json.dumps({"level": "info", "event": "webhook.seen", "env": settings}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, OSError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
