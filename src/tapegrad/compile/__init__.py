"""Compiled replay: trace a step once, then run its kernels without the interpreter."""

from .compiled import Compiled, CompileError, compile

__all__ = ["CompileError", "Compiled", "compile"]
