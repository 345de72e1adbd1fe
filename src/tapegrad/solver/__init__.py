"""Training driven by a description, as Caffe's Solver: policies, tests, snapshots, callbacks."""

from __future__ import annotations

from .callbacks import Callback, EarlyStopping
from .config import SolverConfig
from .solver import Solver

__all__ = ["Callback", "EarlyStopping", "Solver", "SolverConfig"]
