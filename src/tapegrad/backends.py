"""What scripts ask and set of PyTorch's backends, as ``torch.backends``.

Of the settings, those of matrix products and ``cudnn.allow_tf32`` change what GPUs do.
"""

from __future__ import annotations

import warnings

from .kernels.precision import allowed

__all__ = ["cuda", "cudnn", "mkldnn", "mps"]

_settings: dict[str, str | bool] = {"float32 matmul precision": "highest", "deterministic": False}


def set_float32_matmul_precision(precision: str) -> None:
    """Allow matrix products of float32 to round their factors ("high", "medium") or not ("highest"); only GPUs do.

    Warns when it is none of these.
    """
    if precision in ("highest", "high", "medium"):
        _settings["float32 matmul precision"] = precision
        allowed.tf32 = precision != "highest"
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


class _Products:
    """Matrix products on NVIDIA's GPUs.

    Attributes:
        allow_tf32: float32 factors may be rounded to 10 bits; also :func:`set_float32_matmul_precision`.
        allow_fp16_reduced_precision_reduction, allow_bf16_reduced_precision_reduction: partial sums may be rounded to 16 bits.
    """

    @property
    def allow_tf32(self) -> bool:
        return allowed.tf32

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        set_float32_matmul_precision("high" if value else "highest")

    @property
    def allow_fp16_reduced_precision_reduction(self) -> bool:
        return allowed.float16_sums

    @allow_fp16_reduced_precision_reduction.setter
    def allow_fp16_reduced_precision_reduction(self, value: bool) -> None:
        allowed.float16_sums = bool(value)

    @property
    def allow_bf16_reduced_precision_reduction(self) -> bool:
        return allowed.bfloat16_sums

    @allow_bf16_reduced_precision_reduction.setter
    def allow_bf16_reduced_precision_reduction(self, value: bool) -> None:
        allowed.bfloat16_sums = bool(value)


class cuda:
    """Settings of NVIDIA's GPUs."""

    matmul = _Products()

    @staticmethod
    def is_built() -> bool:
        """Whether the packages that compile and launch their kernels are installed; tapegrad.cuda.is_available() also looks for a GPU."""
        from .kernels.cuda.drivers import packages_missing

        return not packages_missing()


class _Convolutions:
    """Settings of NVIDIA's library for networks, of which one changes what our own kernels do.

    Attributes:
        allow_tf32: convolutions of float32 may round their factors to 10 bits; other than in PyTorch they do not unless told to.
    """

    benchmark = False
    deterministic = False
    enabled = True

    @property
    def allow_tf32(self) -> bool:
        return allowed.tf32_convolutions

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        allowed.tf32_convolutions = bool(value)

    @staticmethod
    def version() -> int | None:
        """Its version: None, since it is not used."""
        return None

    @staticmethod
    def is_available() -> bool:
        """Whether it is used: no."""
        return False


cudnn = _Convolutions()


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
