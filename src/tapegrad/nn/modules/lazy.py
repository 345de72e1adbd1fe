"""Layers that learn their input's size from the first input they see."""

from __future__ import annotations

from typing import Any, ClassVar

from ...ops.vision.window_args import Sizes
from ...tensor import Tensor
from ..parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, _NormBase
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, _ConvNd
from .instancenorm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .linear import Linear
from .module import Module

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LazyLinear",
]


class LazyModuleMixin:
    """Put before a :class:`Module` class: ``initialize_parameters`` is called with the first input, before forward.

    Parameters stay the same objects when they get their shapes, so an optimizer may have been given them before. The module's class
    then becomes ``cls_to_become``, unless that is None.
    """

    cls_to_become: ClassVar[type[Any] | None] = None

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give parameters and buffers without a shape theirs (``materialize``), knowing the arguments of forward.

        Raises:
            NotImplementedError: when the class does not define it.
        """
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of the module itself has no shape yet."""
        tables: Any = self
        return any(is_lazy(value) for value in (*tables._parameters.values(), *tables._buffers.values()))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.initialize_parameters(*args, **kwargs)
        if self.has_uninitialized_params():
            raise RuntimeError(f"{type(self).__name__}: initialize_parameters has left parameters or buffers without a shape")
        if self.cls_to_become is not None:
            self.__class__ = self.cls_to_become
            return self(*args, **kwargs)
        return super().__call__(*args, **kwargs)  # type: ignore[misc]


class _Lazy(LazyModuleMixin, Module):
    """A layer whose attribute ``_size`` is 0 until the first input comes."""

    _size: ClassVar[str]  # the attribute that the input decides

    def _forget(self, device: Any, dtype: Any) -> None:
        """Replace parameters and buffers that depend on the size."""
        for name, param in self._parameters.items():
            if param is not None:
                self._parameters[name] = UninitializedParameter(device=device, dtype=dtype)
        for name, buffer in self._buffers.items():
            if buffer is not None and buffer.ndim:
                self._buffers[name] = UninitializedBuffer(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new starting values, once there are parameters."""
        if getattr(self, self._size) and not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def _materialize(self, size: int, **shapes: tuple[int, ...]) -> None:
        """Set the size and draw starting values; after a state dict was loaded, only set the size."""
        if getattr(self, self._size):
            return
        setattr(self, self._size, size)
        fresh = self.has_uninitialized_params()
        for name, shape in shapes.items():
            value = getattr(self, name)
            if is_lazy(value):
                value.materialize(shape)
            elif value is not None and tuple(value.shape) != shape:
                raise RuntimeError(f"{type(self).__name__}: {name} was loaded with shape {tuple(value.shape)}, the input needs {shape}")
        if fresh:
            self.reset_parameters()


class LazyLinear(_Lazy, Linear):
    """A :class:`Linear` whose ``in_features`` is the size of the first input's last dimension."""

    cls_to_become = Linear
    _size = "in_features"

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, out_features, bias, device, dtype)
        self._forget(device, dtype)

    def initialize_parameters(self, input: Tensor) -> None:  # type: ignore[override]
        """Take the size from the input."""
        size = int(input.shape[-1])
        self._materialize(size, weight=(self.out_features, size), bias=(self.out_features,))


# --------------------------------------------------------------------------------------------------------- convolutions


class _LazyConv(_Lazy, _ConvNd):
    _size = "in_channels"

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Take the number of channels from the input.

        Raises:
            RuntimeError: for an input of another number of dimensions.
            ValueError: when its channels are no multiple of ``groups``.
        """
        if input.ndim not in (self._dims + 1, self._dims + 2):
            raise RuntimeError(
                f"{type(self).__name__}: expected {self._dims + 1}D (unbatched) or {self._dims + 2}D (batched) input, "
                f"got shape {tuple(input.shape)}"
            )
        channels = int(input.shape[-1 - self._dims])
        if channels % self.groups:
            raise ValueError(f"{type(self).__name__}: in_channels must be divisible by groups, got {channels} and {self.groups}")
        ends = (channels, self.out_channels // self.groups) if self.transposed else (self.out_channels, channels // self.groups)
        self._materialize(channels, weight=(*ends, *self.kernel_size), bias=(self.out_channels,))


class _LazyForward(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        make: Any = super().__init__
        make(0, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype)
        self._forget(device, dtype)


class LazyConv1d(_LazyForward, Conv1d):
    """A :class:`Conv1d` whose ``in_channels`` is that of the first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyForward, Conv2d):
    """A :class:`Conv2d` whose ``in_channels`` is that of the first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyForward, Conv3d):
    """A :class:`Conv3d` whose ``in_channels`` is that of the first input."""

    cls_to_become = Conv3d


class _LazyTransposed(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        make: Any = super().__init__
        make(0, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode, device, dtype)
        self._forget(device, dtype)


class LazyConvTranspose1d(_LazyTransposed, ConvTranspose1d):
    """A :class:`ConvTranspose1d` whose ``in_channels`` is that of the first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposed, ConvTranspose2d):
    """A :class:`ConvTranspose2d` whose ``in_channels`` is that of the first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposed, ConvTranspose3d):
    """A :class:`ConvTranspose3d` whose ``in_channels`` is that of the first input."""

    cls_to_become = ConvTranspose3d


# ------------------------------------------------------------------------------------------------------- normalization


class _LazyNorm(_Lazy, _NormBase):
    _size = "num_features"

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self._forget(device, dtype)

    def initialize_parameters(self, input: Tensor) -> None:  # type: ignore[override]
        """Take the number of channels from the input.

        Raises:
            ValueError: for an input of another number of dimensions.
        """
        self._check_input_dim(input)
        channels = int(input.shape[1])
        self._materialize(channels, **dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (channels,)))


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """A :class:`BatchNorm1d` whose ``num_features`` is the number of channels of the first input."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """A :class:`BatchNorm2d` whose ``num_features`` is the number of channels of the first input."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """A :class:`BatchNorm3d` whose ``num_features`` is the number of channels of the first input."""

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """An :class:`InstanceNorm1d` whose ``num_features`` is the number of channels (dimension 1) of the first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """An :class:`InstanceNorm2d` whose ``num_features`` is the number of channels (dimension 1) of the first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """An :class:`InstanceNorm3d` whose ``num_features`` is the number of channels (dimension 1) of the first input."""

    cls_to_become = InstanceNorm3d
