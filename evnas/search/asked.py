"""What people ask of a running sweep, taken between two turns of its driver."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from evnas.errors import EvnasError, StoreError
from evnas.search.stopping import Stopped
from evnas.store import Store
from evnas.store.asked import CONTROL, Request, forget, is_paused, settle, waiting

Extend = Callable[[Request, str], str]
"""Goes on for longer: the request, and the name by which it counts once; gives what to say."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """Requests to one study, of which this process is the driver."""

    store: Store
    say: Callable[[str], None]
    extend: Extend
    began_at: float
    """Seconds since the epoch: a stop that was asked before is of an earlier run."""
    paused: bool = field(init=False)
    _seen: set[str] = field(default_factory=set)
    """Names of requests seen to: another user's cannot be taken away."""

    def __post_init__(self) -> None:
        self.paused = is_paused(self.store)

    def take(self) -> None:
        """See to every request that was left since.

        Raises:
            Stopped: it was asked to stop.
        """
        for path, asked in waiting(self.store.path.parent):
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            if asked is None:
                forget(path)
                self.say(f"{path}: holds no request, and is taken away")
            elif asked.action == "stop":
                forget(path)
                self._stop(asked)
            else:
                self._settle(asked, path.name)
                forget(path)

    def must_go_on(self) -> None:
        """Raise StoreError of a paused study, with what lets it go on."""
        if not self.paused:
            return
        folder = self.store.path.parent
        since = (self.store.meta(CONTROL) or {}).get("since") or 0.0
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(since))
        raise StoreError(
            f"{folder}: is paused since {when}; `evnas store resume {folder}` lets it go on, and "
            "so does Resume on its page (`evnas dashboard --control`)"
        )

    def _stop(self, asked: Request) -> None:
        if asked.at >= self.began_at:
            raise Stopped("a request")
        self.say("a stop that was asked of an earlier run is left out")

    def _settle(self, asked: Request, name: str) -> None:
        if asked.action != "extend":
            self.say(settle(self.store, asked))
            self.paused = is_paused(self.store)
            return
        try:
            self.say(self.extend(asked, name))
        except EvnasError as e:  # it asks for what the study cannot do: the sweep goes on
            self.say(f"not extended: {e}")
