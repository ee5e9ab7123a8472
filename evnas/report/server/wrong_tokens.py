"""Who guesses tokens has to wait."""

import hashlib
import time
from collections.abc import Callable

MOST = 10
"""Different wrong tokens of one address."""
WITHIN_S = 60.0
MOST_ADDRESSES = 1000


class WrongTokens:
    """The wrong tokens of late, by address. One that comes again and again is no guess: a page
    that was open when the server began again with another token shows its old one at each look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, dict[bytes, float]] = {}

    def is_barred(self, address: str) -> bool:
        """Whether an address has to wait."""
        since = self._clock() - WITHIN_S
        kept = {token: at for token, at in self._seen.get(address, {}).items() if at > since}
        if kept:
            self._seen[address] = kept
        else:
            self._seen.pop(address, None)
        return len(kept) >= MOST

    def add(self, address: str, token: str) -> None:
        """An address showed a wrong token."""
        if address not in self._seen and len(self._seen) >= MOST_ADDRESSES:
            del self._seen[next(iter(self._seen))]  # the one that came first
        seen = self._seen.setdefault(address, {})
        seen[hashlib.sha256(token.encode()).digest()] = self._clock()
