"""Compiled replay: trace a step once, then run its kernels without the interpreter."""

from .compiled import Compiled, compile
from .trace import CompileError

__all__ = ["CompileError", "Compiled", "compile"]
