"""What goes wrong with devices, for those who catch it without using one."""

from __future__ import annotations


class ApartError(RuntimeError):
    """Arrays of several GPUs in one operation; whoever knows its name and tensors says so instead."""

    __module__, __qualname__ = "builtins", "RuntimeError"  # what it is shown as


class OutOfMemoryError(RuntimeError):
    """A GPU has too little memory left."""

    __module__ = "tapegrad"
