"""An endless stream of a loader's batches whose position can be saved and found again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .randomness import Randomness


class Batches:
    """Batch after batch of a loader, pass after pass.

    A position is found again by repeating the current pass: whatever was drawn from a generator while batches were fetched is
    drawn again from the same states, so the order of a shuffled or augmented pass comes out the same. (The exception: a sampler that
    draws from Python's or NumPy's global generator in the middle of a pass, while the training step draws from it, too.)

    Attributes:
        epoch: complete passes.
        taken: batches of the current pass.
    """

    def __init__(self, loader: Any, randomness: Randomness) -> None:
        self.epoch, self.taken = 0, 0
        self._loader, self._randomness = loader, randomness
        self._pass: Iterator[Any] | None = None
        self._draws: list[tuple[int, dict[str, Any]]] = []  # fetch -> the states it began with, if it changed them

    def next(self) -> Any:
        """The next batch; after the last of a pass, the first of a new one.

        Raises:
            ValueError: when the loader has no batches.
        """
        try:
            return self._fetch()
        except StopIteration:
            if not self.taken:
                again = " in its second pass; give an iterable that can be gone through again" if self.epoch else ""
                raise ValueError(f"train_loader has no batches{again}") from None
        self.epoch, self.taken, self._pass = self.epoch + 1, 0, None
        return self.next()

    def _fetch(self) -> Any:
        if self._pass is None:
            self._draws = [(0, self._randomness.get())]
            self._pass = iter(self._loader)
            batch = next(self._pass)
        else:
            before = self._randomness.own()
            batch = next(self._pass)
            after = self._randomness.own()
            if changed := {name: state for name, state in before.items() if after[name] != state}:
                self._draws.append((self.taken, changed))
        self.taken += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return {"epoch": self.epoch, "taken": self.taken, "draws": list(self._draws)}

    def moved_to(self, state: dict[str, Any]) -> Batches:
        """The stream at a position that ``state_dict()`` returned. It leaves the generators wherever fetching leaves them.

        Raises:
            ValueError: when the loader has fewer batches.
        """
        found = Batches(self._loader, self._randomness)
        draws = dict(state["draws"])
        for i in range(state["taken"]):
            self._randomness.set(draws.get(i, {}))
            try:
                found._fetch()
            except StopIteration:
                raise ValueError(f"train_loader has {i} batches, but the snapshot was taken after {state['taken']} of them") from None
        found.epoch, found._draws = state["epoch"], list(state["draws"])
        return found
