"""Compiled kernels, by what they are made of: in this process, and on disk."""

from __future__ import annotations

from typing import Any

from .compiler import Code, compile_kernel


def code(kernel: Any, capability: tuple[int, int]) -> Code:
    """The machine code of a kernel for a GPU of this compute capability."""
    return compile_kernel(kernel.function(), kernel.signature(), [capability], kernel.threads)[capability]
