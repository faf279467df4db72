"""What all connections of a process share: a certificate, a reader of sockets, an HTTP client."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import aiohttp

from bench.errors import BenchError
from bench.webrtc_load.connection import Media, PeerConnection
from bench.webrtc_load.datagrams import DatagramReader
from bench.webrtc_load.descriptions import Answer, Sources, make_offer, read_answer
from sfu.dtls import DtlsCertificate

HTTP_SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 65_536
SHOWN_BYTES: Final = 200
_CREATED: Final = 201


class Endpoints:
    """Opens connections until it is closed."""

    def __init__(
        self,
        *,
        has_feedback: bool,
        make: Callable[[DtlsCertificate, DatagramReader, Media], PeerConnection] = PeerConnection,
    ) -> None:
        self._has_feedback = has_feedback
        self._make = make
        self._certificate = DtlsCertificate.generate()
        self._reader = DatagramReader()
        self._connections: list[PeerConnection] = []
        timeout = aiohttp.ClientTimeout(total=HTTP_SECONDS)
        self._http = aiohttp.ClientSession(timeout=timeout)
        self._reading = asyncio.create_task(self._reader.run())

    async def open(
        self, url: str, bearer: str | None, media: Media, sources: Sources | None = None
    ) -> tuple[PeerConnection, Answer]:
        """Connect by WHIP (with ``sources``) or WHEP. Raises BenchError when the server does not let us."""
        connection = self._make(self._certificate, self._reader, media)
        offer = make_offer(
            connection.ice, self._certificate.fingerprints[0], sources, has_feedback=self._has_feedback
        )
        answer = read_answer(await self._post(url, bearer, offer))
        self._connections.append(connection)
        await connection.connect(answer)
        return connection, answer

    def consent(self) -> None:
        """Keep every connection alive."""
        for connection in self._connections:
            connection.consent()

    async def close(self) -> None:
        """End all connections."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._reader.close()
        await self._http.close()

    async def _post(self, url: str, bearer: str | None, offer: str) -> str:
        headers = {"Content-Type": "application/sdp"}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        try:
            async with self._http.post(url, data=offer.encode(), headers=headers) as response:
                body = await response.content.read(MAX_ANSWER_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise BenchError(str(error) or type(error).__name__) from None
        if response.status != _CREATED:
            shown = body[:SHOWN_BYTES].decode(errors="replace")
            raise BenchError(f"answered {response.status}: {shown}")
        with contextlib.suppress(UnicodeDecodeError):
            return body.decode()
        raise BenchError("the answer is no text")
