"""Tools for testing gradients, of tapegrad's own operations and of yours.

``check_grads`` needs nothing beyond tapegrad; the Hypothesis strategies are in ``tapegrad.testing.strategies``, which imports
Hypothesis.
"""

from __future__ import annotations

from .grads import GradientError, check_grads

__all__ = ["GradientError", "check_grads"]
