"""A DNS server for one name, whose addresses a test changes."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

_A = 1
_HEADER_BYTES = 12
_RESPONSE = 0x8400
_POINTER_TO_QUESTION = 0xC00C


class NameServer(asyncio.DatagramProtocol):
    """Answers each question for IPv4 addresses with `addresses`, and other questions with none."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.authority = ""
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        host, port = transport.get_extra_info("sockname")
        self.authority = f"{host}:{port}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(self._answer(data), addr)

    def _answer(self, query: bytes) -> bytes:
        end_of_name = query.index(0, _HEADER_BYTES) + 1
        question = query[_HEADER_BYTES : end_of_name + 4]
        (kind,) = struct.unpack_from("!H", query, end_of_name)
        found = self.addresses if kind == _A else []
        header = struct.pack(
            "!HHHHHH", *struct.unpack_from("!H", query), _RESPONSE, 1, len(found), 0, 0
        )
        records = [
            struct.pack("!HHHIH", _POINTER_TO_QUESTION, _A, 1, 0, 4) + socket.inet_aton(address)
            for address in found
        ]
        return b"".join((header, question, *records))


@asynccontextmanager
async def name_server() -> AsyncGenerator[NameServer, None]:
    """Serve on a free port of 127.0.0.1."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()
