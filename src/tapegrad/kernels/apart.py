"""The mistake of giving a kernel arrays of different devices."""

from __future__ import annotations


class ApartError(RuntimeError):
    """Arrays of several GPUs in one operation; whoever knows its name and tensors says so instead."""

    __module__, __qualname__ = "builtins", "RuntimeError"  # what it is shown as
