"""The memory behind tensors, as far as the tape must know of it: when it was written, and which views it has."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from typing import Any

# One process-wide clock orders operations and writes, also when tensors cross threads.
tick = itertools.count(1).__next__

ROOM = 32  # views noted before dead ones are first looked for
_sweeping = threading.Lock()  # one thread at a time forgets dead views


def _new_lock() -> None:
    """A forked child must not inherit a lock that another thread held."""
    global _sweeping
    _sweeping = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


class Views(list[weakref.ref[Any]]):
    """Weak references to views. Dead ones are looked for when there are ``room`` of them all."""

    __slots__ = ("room",)

    def __init__(self) -> None:
        self.room = ROOM


class Storage:
    """The memory behind a tensor and its views, as far as the tape must know of it.

    Attributes:
        version: how many times it was written in place.
        stamp: the clock at the last write; a value saved at clock ``t`` is stale when ``stamp > t``.
        writer: what wrote last, for messages.
        _views: its views, which in-place writes must bring up to date; None before the first.
    """

    # Class attributes are the defaults, so that making one costs nothing but the object.
    version = 0
    stamp = 0
    writer = ""
    _views: Views | None = None

    def views(self) -> list[Any]:
        """The living views of this memory: tensors."""
        found = [view for ref in self._views or () if (view := ref()) is not None]
        return list({id(view): view for view in found}.values())

    def add_view(self, view: Any) -> None:
        """Note a view."""
        views = self._views
        if views is None:
            views = self.__dict__.setdefault("_views", Views())
        elif len(views) >= views.room:
            forget_dead(views)
        views.append(weakref.ref(view))

    def wrote(self, writer: str) -> None:
        """Note a write in place."""
        self.stamp = tick()
        self.version = self.version + 1
        self.writer = writer


def forget_dead(views: Views) -> None:
    """Keep the living. Others may append meanwhile, so the list is changed by one statement, which no other thread can split."""
    if _sweeping.acquire(blocking=False):
        try:
            count = len(views)
            living = [ref for ref in views[:count] if ref() is not None]
            views[:count] = living
            views.room = max(ROOM, 2 * len(living))
        finally:
            _sweeping.release()
