"""The body of an elementwise kernel, as text that every device's source is made from."""

from __future__ import annotations

import re
from typing import Any

_QUOTIENT = re.compile(r"= (\S+) / (\S+)$")  # of complex numbers, which takes a function of our own


class Body:
    """What one element computes: input names, statements, result names, and which inputs are truth values.

    The statements use Python operators, ``T`` (the constructor of the computation's dtype) and the scalar functions that
    ``expr`` names; a device supplies those. ``plans`` belongs to the backend: how it launches this body.
    """

    __slots__ = ("booleans", "inputs", "lines", "plans", "results")

    def __init__(
        self, inputs: tuple[str, ...], lines: tuple[str, ...], results: tuple[str, ...], booleans: tuple[str, ...] = ()
    ) -> None:
        self.inputs = inputs
        self.lines = lines
        self.results = results
        self.booleans = booleans
        self.plans: dict[Any, Any] = {}

    def statements(self, compute: str) -> tuple[str, ...]:
        """The statements for a dtype of the computation: quotients of complex numbers are calls of ``div``."""
        return tuple([_QUOTIENT.sub(r"= div(\1, \2)", line) for line in self.lines]) if compute.startswith("complex") else self.lines
