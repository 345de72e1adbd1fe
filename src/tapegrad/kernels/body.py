"""The body of an elementwise kernel, as text that every device's source is made from."""

from __future__ import annotations

from typing import Any


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
