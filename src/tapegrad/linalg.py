"""Linear algebra, as ``torch.linalg``."""

from __future__ import annotations

from .ops.linalg.cholesky import LinAlgError as LinAlgError, cholesky as cholesky, solve_triangular as solve_triangular
from .ops.linalg.norm import matrix_norm as matrix_norm, norm as norm, vector_norm as vector_norm

__all__ = ["LinAlgError", "cholesky", "matrix_norm", "norm", "solve_triangular", "vector_norm"]
