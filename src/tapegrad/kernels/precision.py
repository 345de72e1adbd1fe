"""What matrix products and convolutions on a GPU may do to be faster, as ``backends`` sets it."""

from __future__ import annotations

from collections.abc import Callable


class _Allowed:
    """float32 factors rounded to TF32's 10 bits, and partial sums of 16-bit floats in 16 bits."""

    tf32 = False
    tf32_convolutions = False
    float16_sums = True
    bfloat16_sums = True
    _watchers: list[Callable[[], None]]

    def __init__(self) -> None:
        self.__dict__["_watchers"] = []

    def __setattr__(self, name: str, value: bool) -> None:
        super().__setattr__(name, value)
        for watch in self._watchers:
            watch()

    def watch(self, function: Callable[[], None]) -> None:
        """Call a function whenever something is set."""
        self._watchers.append(function)

    def settings(self) -> tuple[bool, ...]:
        """All there are."""
        return tuple([getattr(self, name) for name in sorted(vars(_Allowed)) if vars(_Allowed)[name].__class__ is bool])


allowed = _Allowed()
