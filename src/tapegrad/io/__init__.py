"""Checkpoints that are whole, verified and free of code: :func:`save` and :func:`load`."""

from __future__ import annotations

from .serialization import CheckpointError, load, load_file, save, save_file

__all__ = ["CheckpointError", "load", "load_file", "save", "save_file"]
