"""The memory behind tensors, as far as the tape must know of it: when it was written, and which views it has."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from typing import Any

# One process-wide clock orders operations and writes, also when tensors cross threads.
tick = itertools.count(1).__next__

_ROOM = 32  # views noted before dead ones are first looked for
_sweeping = threading.Lock()  # one thread at a time forgets dead views


def _new_lock() -> None:
    """A forked child must not inherit a lock that another thread held."""
    global _sweeping
    _sweeping = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


class Storage:
    """The memory behind a tensor and its views, as far as the tape must know of it.

    Attributes:
        version: how many times it was written in place.
        stamp: the clock at the last write; a value saved at clock ``t`` is stale when ``stamp > t``.
        writer: what wrote last, for messages.
        _views: weak references to views, which in-place writes must bring up to date; None before the first. Dead ones are swept
            out when there are ``_room`` of them all.
    """

    # Class attributes are the defaults, so that making one costs nothing but the object.
    version = 0
    stamp = 0
    writer = ""
    _views: list[weakref.ref[Any]] | None = None
    _room = _ROOM

    def views(self) -> list[Any]:
        """The living views of this memory: tensors."""
        found = [view for ref in self._views or () if (view := ref()) is not None]
        return list({id(view): view for view in found}.values())

    def add_view(self, view: Any) -> None:
        """Note a view."""
        views = self._views
        if views is None:
            views = self.__dict__.setdefault("_views", [])
        elif len(views) >= self._room:
            self._forget_dead_views()
        views.append(weakref.ref(view))
        if self._views is not views:  # another thread replaced it meanwhile
            self.add_view(view)

    def _forget_dead_views(self) -> None:
        """Replace the list by one of the living; others may append to either list meanwhile, and those to the old one look again."""
        if _sweeping.acquire(blocking=False):
            try:
                old = self._views or []
                count = len(old)
                self._views = new = [ref for ref in old[:count] if ref() is not None]
                new += old[count:]
                self._room = max(_ROOM, 2 * len(new))
            finally:
                _sweeping.release()

    def wrote(self, writer: str) -> None:
        """Note a write in place."""
        self.stamp = tick()
        self.version = self.version + 1
        self.writer = writer
