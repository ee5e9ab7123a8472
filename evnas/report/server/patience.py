"""HTTP/1.1 that waits for nobody for ever: neither for a request nor for a reader."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 15.0
"""How long a connection may take to ask for something, silent or a byte at a time."""
READER_S = 60.0
"""How long a reader may take nothing of what waits for it. What waits is bounded: a stream sends
no more until it is read (`await send` waits while the transport holds 64 KiB)."""
LOOK_EVERY_S = 2.0


class PatientProtocol(H11Protocol):
    """One connection; see the module."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._waiting_since = self._read_at = self.loop.time()
        self._unread = 0
        self.loop.call_later(LOOK_EVERY_S, self._look)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._waiting_since = self.loop.time()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        now, unread = self.loop.time(), self.transport.get_write_buffer_size()
        if unread < self._unread or not unread:
            self._read_at = now
        self._unread = unread
        waits = self.cycle is None or self.cycle.response_complete
        is_late = waits and not unread and now - self._waiting_since > REQUEST_S
        if is_late or now - self._read_at > READER_S:
            self.transport.abort()
        else:
            self.loop.call_later(LOOK_EVERY_S, self._look)
