"""Activation functions made of straight pieces (and hardswish). The gradient at kinks is PyTorch's.

Slopes, bounds and the like are operands without derivative, so one kernel serves all their values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...inplace import elementwise_
from ...primitives import E
from ...public import composite, method, public
from ...samples import EdgePoint, ErrorInput, Input, Sample, few
from ...scalarops import elementwise, elementwise_op
from ...tensor import Tensor
from ..checks import need_same_dtype
from ..random.generator import rand

__all__ = [
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "softshrink",
    "threshold",
    "threshold_",
]


def run(name: str, inplace: bool, input: Tensor, *numbers: float | Tensor) -> Tensor:
    """The elementwise op, out of place or written into its input."""
    op = elementwise_op(name)
    return elementwise_(op, input, *numbers) if inplace else op.call(input, *numbers)


_relu = elementwise(
    "relu",
    lambda input: E.where(input <= 0, 0, input),
    {"input": lambda g, out: E.where(out <= 0.0, 0.0, g)},
    samples=few(apart=True),
    reference=lambda x: np.maximum(x, 0),
    edge_points=[EdgePoint((0.0,), (0.0,))],
    kinds="bif",
)
elementwise(
    "leaky_relu",
    lambda input, negative_slope: E.where(input > 0.0, input, negative_slope * input),
    {
        "input": lambda g, input, negative_slope: E.where(input > 0.0, g, g * negative_slope),
        "negative_slope": lambda g, input: E.where(input > 0.0, 0.0, g * input),
    },
    method=False,
    samples=[
        Sample((Input((3, 4), apart=True), Input((3, 4)))),
        Sample((Input((3, 4), apart=True), Input(()))),
        Sample((Input((5,), apart=True),), {"negative_slope": 0.2}),
    ],
    reference=lambda x, negative_slope: np.maximum(x, 0) + negative_slope * np.minimum(x, 0),
    edge_points=[EdgePoint((0.0, 0.25), (0.25, 0.0))],
    kinds="f",
)
elementwise(
    "hardtanh",
    lambda input, min_val, max_val: E.where(input < min_val, min_val, E.where(input > max_val, max_val, input)),
    {"input": lambda g, input, min_val, max_val: E.where((input <= min_val) | (input >= max_val), 0.0, g)},
    method=False,
    samples=few(apart=True, min_val=-1.03, max_val=0.77),
    reference=lambda x, min_val, max_val: np.clip(x, min_val, max_val),
    edge_points=[EdgePoint((x,), (0.0,), {"min_val": -1.0, "max_val": 2.0}) for x in (-1.0, 2.0)],
    kinds="f",
)
elementwise(
    "threshold",
    lambda input, threshold, value: E.where(input <= threshold, value, input),
    {"input": lambda g, input, threshold: E.where(input <= threshold, 0.0, g)},
    method=False,
    samples=few(apart=True, threshold=0.53, value=-3.0),
    reference=lambda x, threshold, value: np.where(x > threshold, x, value),
    edge_points=[EdgePoint((1.0,), (0.0,), {"threshold": 1.0, "value": 1.0})],
    kinds="f",
)
elementwise(
    "hardshrink",
    lambda input, lambd: E.where((input >= -lambd) & (input <= lambd), 0.0, input),
    {"input": lambda g, input, lambd: E.where((input >= -lambd) & (input <= lambd), 0.0, g)},
    dtype="float",
    method=False,
    samples=few(apart=True, lambd=0.53125),
    reference=lambda x, lambd: x * (np.abs(x) > lambd),
    edge_points=[EdgePoint((x,), (0.0,), {"lambd": 0.5}) for x in (-0.5, 0.5)],
    kinds="f",
)
elementwise(
    "softshrink",
    lambda input, lambd: E.where(input > lambd, input - lambd, E.where(input < -lambd, input + lambd, 0.0 * input)),
    {"input": lambda g, input, lambd: E.where((input >= -lambd) & (input <= lambd), 0.0, g)},
    dtype="float",
    method=False,
    samples=few(apart=True, lambd=0.53125),
    reference=lambda x, lambd: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
    edge_points=[EdgePoint((x,), (0.0,), {"lambd": 0.5}) for x in (-0.5, 0.5)],
    kinds="f",
)
elementwise(
    "hardsigmoid",
    lambda input: E.where(input <= -3.0, 0.0, E.where(input >= 3.0, 1.0, (input + 3.0) * (1.0 / 6.0))),
    {"input": lambda g, input: E.where((input > -3.0) & (input < 3.0), g * (1.0 / 6.0), 0.0)},
    dtype="float",
    method=False,
    samples=few(-4.0, 4.0, apart=True),
    reference=lambda x: np.clip(x / 6 + 0.5, 0, 1),
    edge_points=[EdgePoint((x,), (0.0,)) for x in (-3.0, 3.0)],
    kinds="f",
)
elementwise(
    "hardswish",
    lambda input: E.where(input <= -3.0, 0.0, E.where(input >= 3.0, input, input * ((input + 3.0) * (1.0 / 6.0)))),
    {"input": lambda g, input: E.where(input <= -3.0, 0.0, E.where(input < 3.0, g * (input * (1.0 / 3.0) + 0.5), g))},
    dtype="float",
    method=False,
    samples=few(-4.0, 4.0, apart=True),
    reference=lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    edge_points=[EdgePoint((-3.0,), (0.0,)), EdgePoint((3.0,), (1.0,))],
    kinds="f",
)

# -------------------------------------------------------------------------------------------------------- public functions


def called(**params: Any) -> dict[str, Any]:
    """A public sample with these keywords; its reference is the op's."""
    return {"samples": [Sample((Input((3, 4), apart=True),), params)]}


@public("relu")
def relu(input: Any, inplace: bool = False) -> Any:
    """max(input, 0) of each element; the gradient at 0 is 0."""
    return run("relu", True, input) if inplace else _relu(input)


@public("leaky_relu", **called(negative_slope=0.2))
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """The input where positive, else ``negative_slope`` times it; the gradient at 0 is the slope."""
    return run("leaky_relu", inplace, input, negative_slope)


_PRELU = [(Input((3, 4), apart=True), Input((1,))), (Input((2, 3, 4), apart=True), Input((3,))), (Input((3,)), Input(()))]


@composite(
    samples=[Sample(inputs) for inputs in _PRELU],
    reference=lambda x, w: np.maximum(x, 0) + w.reshape((-1,) + (1,) * (x.ndim - 2) if x.ndim > 1 else w.shape) * np.minimum(x, 0),
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.prelu(tg.ones(2, 3), tg.ones(2)), RuntimeError, r"prelu: .*2 slopes.*\(2, 3\)")],
)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """The input where positive, else ``weight`` times it: one slope, or one per channel (dimension 1).

    Raises:
        RuntimeError: when the number of slopes or the dtypes don't fit.
    """
    x, w = input._array, weight._array
    channels = x.shape[1] if x.ndim > 1 else 1
    if w.ndim > 1 or w.size not in (1, channels):
        raise RuntimeError(
            f"prelu: weight of shape {tuple(w.shape)} has {w.size} slopes, an input of shape {tuple(x.shape)} takes 1 or one per channel, {channels}"
        )
    need_same_dtype("prelu", input=input, weight=weight)
    slopes = weight.reshape(*[channels if i == 1 and w.size > 1 else 1 for i in range(x.ndim)]) if x.ndim > 1 or w.ndim > x.ndim else weight
    return elementwise_op("leaky_relu").call(input, slopes)


@composite(
    method=False,
    samples=[Sample((Input((3, 4), apart=True),)), Sample((Input((3, 4), apart=True),), {"lower": 0.25, "upper": 0.5})],
    reference=lambda x, lower=1 / 8, upper=1 / 3: np.where(x > 0, x, x * (lower + upper) / 2),
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.rrelu(tg.ones(3), 0.5, 0.25), RuntimeError, "rrelu: lower 0.5 is greater than upper 0.25")],
)
def rrelu(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """The input where positive, else a slope times it: in training one drawn from [lower, upper) for each element, else their mean.

    Raises:
        RuntimeError: when lower is greater than upper.
    """
    if lower > upper:
        raise RuntimeError(f"rrelu: lower {lower} is greater than upper {upper}")
    if not training:
        return run("leaky_relu", inplace, input, (lower + upper) / 2)
    slopes = rand(input.shape, dtype=input.dtype, device=input.device) * (upper - lower) + lower
    return run("leaky_relu", inplace, input, slopes)


@public("hardtanh", **called(min_val=-1.03, max_val=0.77))
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """The input limited to [min_val, max_val]; the gradient at both bounds is 0.

    Raises:
        ValueError: when min_val is greater than max_val.
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} is greater than max_val {max_val}")
    if not input.dtype.differentiable:  # bounds of an integer tensor are integers
        min_val, max_val = int(min_val), int(max_val)
    return run("hardtanh", inplace, input, min_val, max_val)


@composite(method=False, samples=few(-3.0, 8.0, apart=True), reference=lambda x: np.clip(x, 0, 6))
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """The input limited to [0, 6]; the gradient at both bounds is 0."""
    return hardtanh(input, 0.0, 6.0, inplace)


@public("threshold", **called(threshold=0.53, value=-3.0))
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """The input where greater than ``threshold``, else ``value``; the gradient at the threshold is 0."""
    if input.dtype.category == 1:  # as PyTorch, numbers for an integer tensor lose their fractions
        threshold, value = int(threshold), int(value)
    return run("threshold", inplace, input, threshold, value)


@method
@public("hardshrink", **called(lambd=0.53125))
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """The input, but 0 from -lambd to lambd; the gradient at these bounds is 0."""
    return run("hardshrink", False, input, lambd)


@public(
    "softshrink",
    **called(lambd=0.53125),
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.softshrink(tg.ones(3), -1.0), RuntimeError, "softshrink: lambd must not be negative")],
)
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """The input moved towards 0 by ``lambd``, and 0 where it is nearer than that; the gradient at -lambd and lambd is 0.

    Raises:
        RuntimeError: for a negative ``lambd``.
    """
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambd must not be negative, got {lambd}")
    return run("softshrink", False, input, lambd)


@public("hardsigmoid")
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """input / 6 + 1/2 limited to [0, 1]; the gradient at -3 and 3 is 0."""
    return run("hardsigmoid", inplace, input)


@public("hardswish")
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * hardsigmoid(input); the gradient is 0 at -3 and 1 at 3."""
    return run("hardswish", inplace, input)


# ---------------------------------------------------------------------------------------------------------------- in place


def relu_(input: Tensor) -> Tensor:
    """In-place version of :func:`relu`; returns the tensor."""
    return relu(input, True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """In-place version of :func:`leaky_relu`; returns the tensor."""
    return leaky_relu(input, negative_slope, True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In-place version of :func:`hardtanh`; returns the tensor."""
    return hardtanh(input, min_val, max_val, True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """In-place version of :func:`threshold`; returns the tensor."""
    return _THRESHOLD(input, threshold, value, True)


_THRESHOLD = threshold


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """In-place version of :func:`rrelu`; returns the tensor."""
    return rrelu(input, lower, upper, training, True)
