"""Checkpoints that are whole, verified and free of code: :func:`save` and :func:`load`."""

from __future__ import annotations

from tapegrad.io.checkpoint import CheckpointError, load, save

__all__ = ["CheckpointError", "load", "save"]
