"""Which version this is, as ``torch.version``, and for which CUDA it compiles: that of the installed packages, None without them."""

from __future__ import annotations

from typing import Any

__all__ = ["__version__", "cuda", "hip"]

__version__ = "0.1.0"
cuda: str | None
hip: str | None = None


def __getattr__(name: str) -> Any:
    if name != "cuda":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib.metadata  # which takes milliseconds

    try:
        return ".".join(importlib.metadata.version("cuda-bindings").split(".")[:2])
    except importlib.metadata.PackageNotFoundError:
        return None
