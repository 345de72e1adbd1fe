"""What scripts ask and set of PyTorch's backends, as ``torch.backends``; tapegrad has none of them, so settings change nothing."""

from __future__ import annotations

import warnings

__all__ = ["cuda", "cudnn", "mkldnn", "mps"]

_settings: dict[str, str | bool] = {"float32 matmul precision": "highest", "deterministic": False}


def set_float32_matmul_precision(precision: str) -> None:
    """Allow matrix products of float32 to round their factors ("high", "medium") or not ("highest"); tapegrad never does.

    Warns when it is none of these.
    """
    if precision in ("highest", "high", "medium"):
        _settings["float32 matmul precision"] = precision
    else:
        warnings.warn(f"{precision} is not one of 'highest', 'high', or 'medium'; the setting stays", stacklevel=2)


def get_float32_matmul_precision() -> str:
    """What :func:`set_float32_matmul_precision` was given."""
    return str(_settings["float32 matmul precision"])


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for equal bits in every run; tapegrad's CPU kernels give them in any case, for any number of threads."""
    _settings["deterministic"] = mode


def are_deterministic_algorithms_enabled() -> bool:
    """Whether :func:`use_deterministic_algorithms` asked for them."""
    return bool(_settings["deterministic"])


class cuda:
    """Settings of NVIDIA's GPUs."""

    class matmul:
        """Matrix products."""

        allow_tf32 = False
        allow_fp16_reduced_precision_reduction = True
        allow_bf16_reduced_precision_reduction = True

    @staticmethod
    def is_built() -> bool:
        """Whether they could be used: no."""
        return False


class cudnn:
    """Settings of NVIDIA's library for networks."""

    allow_tf32 = True
    benchmark = False
    deterministic = False
    enabled = True

    @staticmethod
    def version() -> int | None:
        """Its version: None, since it is not used."""
        return None

    @staticmethod
    def is_available() -> bool:
        """Whether it is used: no."""
        return False


class mkldnn:
    """Intel's library for networks."""

    enabled = True

    @staticmethod
    def is_available() -> bool:
        """Whether it is used: no."""
        return False


class mps:
    """Apple's GPUs."""

    @staticmethod
    def is_available() -> bool:
        """Whether they are used: no."""
        return False

    @staticmethod
    def is_built() -> bool:
        """Whether they could be: no."""
        return False
