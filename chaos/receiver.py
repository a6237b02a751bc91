"""The receiver of forwards in a chaos run. One path always answers; the other one misbehaves."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import standardwebhooks

from chaos.loopback_server import LoopbackServer
from ringback.local.ports import LOOPBACK

ENDPOINT = "forwarded"
STEADY, ODD = "/steady", "/odd"
_SECRET = "whsec_Y2hhb3MtY2hhb3MtY2hhb3MtY2hhb3Mt"  # ruff: ignore[hardcoded-password-string]  # of a stage on loopback
_ORG = "00000000-0000-0000-0000-000000000001"
_TIMEOUT_S = 2.0
_SCHEDULE = ",".join(["1s"] * 20)
_BYTE_EVERY_S = 1.0
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
_REDIRECT = (
    b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n"
)
_BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Receiver(LoopbackServer):
    """`taken` counts the ids that a path answered with 200; `forged`, wrong signatures."""

    is_misbehaving: bool = False
    taken: dict[str, Counter[str]] = field(
        default_factory=lambda: {STEADY: Counter(), ODD: Counter()}
    )
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    forged: int = 0
    misdeeds: int = 0

    def declare(self, folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
        """Write the stage's endpoints and the forwarded one to a file. Returns its settings."""
        forwards = [
            {
                "name": path.strip("/"),
                "url": f"http://{LOOPBACK}:{self.port}{path}",
                "signing_secrets": _SECRET,
                "allow_networks": [f"{LOOPBACK}/32"],
                "timeout_s": _TIMEOUT_S,
                "schedule": _SCHEDULE,
            }
            for path in (STEADY, ODD)
        ]
        endpoints = orjson.loads(environ["RINGBACK_ENDPOINTS"])
        endpoints[ENDPOINT] = {"org_id": _ORG, "forward": forwards}
        file = folder / "endpoints.json"
        file.write_bytes(orjson.dumps({"endpoints": endpoints}))
        return {"RINGBACK_ENDPOINTS": "", "RINGBACK_ENDPOINTS_FILE": str(file)}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Handle one request; whether the connection is kept."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        lines = (line.partition(": ") for line in head.split("\r\n")[1:])
        headers = {name.lower(): value for name, _, value in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        try:
            standardwebhooks.Webhook(_SECRET).verify(body, headers, json_parse=False)
        except standardwebhooks.WebhookVerificationError:
            self.forged += 1
        if path == ODD and self.is_misbehaving:
            return await self._misbehave(reader, writer)
        self.taken[path][headers["webhook-id"]] += 1
        self.bodies.setdefault(headers["webhook-id"], set()).add(body)
        writer.write(_OK)
        return True

    async def _misbehave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Hang, reset, answer a byte a second, redirect, or be busy, in turn."""
        self.misdeeds += 1
        match self.misdeeds % 5:
            case 0:
                await reader.read()
            case 1:
                connection: socket.socket = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            case 2:
                for byte in _OK:
                    if writer.is_closing():
                        break
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(_BYTE_EVERY_S)
            case 3:
                writer.write(_REDIRECT)
                return True
            case _:
                writer.write(_BUSY)
                return True
        return False
