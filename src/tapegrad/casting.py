"""Which dtype functions compute in under ``tg.autocast``: the table, and the call that casts their tensors.

The lists are PyTorch's, for CPUs and for GPUs (https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference). A function that is
in none takes tensors as they are, and usually promotes. The casts are on the tape, so parameters get gradients in their own dtype.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from . import dtypes
from .modes import local
from .tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])

LOWER = "lower"  # float32 becomes the lower dtype: fast, and exact enough for products
FLOAT32 = "float32"  # the lower dtype becomes float32: sums over many elements, and what a few bits would spoil
WIDEST = "widest"  # all become the widest dtype among them
REFUSED = "refused"
AS_THEY_ARE = "as they are"  # made of functions that would cast, although PyTorch's does not

_TABLE = {
    LOWER: """
        addbmm addmm baddbmm bmm linear matmul mm prelu scaled_dot_product_attention
        conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    """,
    FLOAT32: """
        adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d fractional_max_pool2d fractional_max_pool3d lp_pool3d max_pool3d
        max_unpool1d max_unpool2d max_unpool3d grid_sample interpolate pad
        binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy ctc_loss hinge_embedding_loss
        huber_loss kl_div l1_loss margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss nll_loss poisson_nll_loss
        smooth_l1_loss soft_margin_loss triplet_margin_loss
        cdist nanquantile polar prod quantile trace view_as_complex
        cholesky cholesky_solve
    """,
    WIDEST: "cat index_copy stack",
    AS_THEY_ARE: "addmv addr bilinear dot inner kron mv outer vdot",
}
POLICIES = {name: policy for policy, names in _TABLE.items() for name in names.split()}

_GPU_TABLE = {
    LOWER: """
        addbmm addmm addmv addr baddbmm bmm chain_matmul einsum linear matmul mm mv prelu scaled_dot_product_attention
        conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    """,
    FLOAT32: """
        binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy hinge_embedding_loss huber_loss kl_div l1_loss
        margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss
        triplet_margin_loss
        cdist cosine_similarity dist group_norm interpolate layer_norm pdist prod rms_norm
    """,
    WIDEST: "bilinear cross dot grid_sample index_put scatter_add tensordot vdot",
    AS_THEY_ARE: "inner kron outer",
    REFUSED: "binary_cross_entropy",
}
GPU_POLICIES = {name: policy for policy, names in _GPU_TABLE.items() for name in names.split()}
# Ops that compute in float32 on GPUs, too, whatever function is made of them; they look at it themselves (see ``modes.local.careful``).
GPU_OPS = frozenset(
    """
        acos asin cosh cumprod cumsum erfinv exp expm1 log log10 log1p log2 log_softmax logsumexp pow reciprocal rsqrt sinh softmax softplus
        sum tan vector_norm
    """.split()
)


# Some policies hold in some calls only, since PyTorch computes these in different functions.


def _mirrors(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> bool:
    return mode == "replicate" or (mode == "reflect" and len(pad) <= 4)


def _of_vectors(input: Any, other: Any) -> bool:
    return bool(input.ndim == other.ndim == 1)


def _averages_volumes(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *rest: Any, **more: Any) -> bool:
    return mode == "area" and input.ndim == 5


def _maxima_alone(input: Any, kernel_size: Any, *rest: Any, return_indices: bool = False, **more: Any) -> bool:
    return not (return_indices or (len(rest) > 4 and rest[4]))


def _unweighted(input: Any, target: Any, *rest: Any, weight: Any = None, **more: Any) -> bool:
    return weight is None and len(rest) < 4


def _not_averages(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *rest: Any, **more: Any) -> bool:
    return mode != "area"


_GPU_ONLY_WHEN: dict[str, Callable[..., bool]] = {"interpolate": _not_averages}
_ONLY_WHEN: dict[str, Callable[..., bool]] = {
    "inner": _of_vectors,
    "interpolate": _averages_volumes,
    "l1_loss": _unweighted,
    "max_pool3d": _maxima_alone,
    "mse_loss": _unweighted,
    "pad": _mirrors,
}


def has_policy(function: Callable[..., Any]) -> bool:
    """Whether a public function is in a list."""
    return function.__name__ in POLICIES or function.__name__ in GPU_POLICIES


def policy_in(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """The policy that is followed in this call, or None: some only are in certain modes."""
    where = _device_type((args, kwargs))
    if not local.autocast or where not in local.autocast_on:
        return None
    policies, conditions = (GPU_POLICIES, _GPU_ONLY_WHEN) if where == "cuda" else (POLICIES, _ONLY_WHEN)
    condition = conditions.get(function.__name__)
    return policies.get(function.__name__) if condition is None or condition(*args, **kwargs) else None


def for_op(name: str, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs of an op as autocast on GPUs wants them."""
    if name in GPU_OPS and local.autocast and _device_type(inputs) == "cuda" and "cuda" in local.autocast_on:
        return tuple([cast_nested(x, dtypes.float32) for x in inputs])
    return inputs


def _device_type(arguments: Any) -> str:
    """Where the first floating-point tensor lies."""
    for t in _tensors(arguments):
        if t.is_floating_point():
            return "cuda" if t.is_cuda else "cpu"
    return "cpu"


def call(policy: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function on cast tensors; inside it nothing is cast any more.

    Raises:
        RuntimeError: for a function that 16-bit numbers are too coarse for.
    """
    if policy == REFUSED:
        raise RuntimeError(
            f"{function.__name__} is unsafe to autocast on a GPU: probabilities in float16 are too coarse for their logarithms. Leave the "
            "sigmoid before it out and use binary_cross_entropy_with_logits or nn.BCEWithLogitsLoss, which are safe"
        )
    if policy != AS_THEY_ARE:
        to = _target(policy, (args, kwargs))
        args, kwargs = cast_nested(args, to), cast_nested(kwargs, to)
    local.autocast, before, local.careful = False, local.careful, local.flags
    try:
        return function(*args, **kwargs)
    finally:
        local.autocast, local.careful = True, before


def as_they_are(function: F) -> F:
    """Decorate a function that casts nothing, although functions that it is made of would: one that writes in place."""

    @functools.wraps(function)
    def uncast(*args: Any, **kwargs: Any) -> Any:
        return call(AS_THEY_ARE, function, args, kwargs) if local.autocast else function(*args, **kwargs)

    return cast(F, uncast)


def lower_dtype(device_type: str = "cpu") -> Any:
    """The lower dtype of this thread on a type of device.

    Raises:
        RuntimeError: when it is bfloat16, and the package ml_dtypes is missing.
    """
    if device_type == "cuda":
        return local.autocast_cuda_dtype or dtypes.float16
    return dtypes.need_bfloat16("autocast") if local.autocast_dtype is None else local.autocast_dtype


def _target(policy: str, arguments: Any) -> Any:
    if policy == LOWER:
        return lower_dtype(_device_type(arguments))
    if policy == FLOAT32:
        return dtypes.float32
    found = [t.dtype for t in _tensors(arguments) if _eligible(t)]
    return dtypes.float32 if dtypes.float32 in found else next(iter(found), None)


def _eligible(value: Any) -> bool:
    """Whether a value is cast at all: tensors of 16 and 32 bits; float64 stays."""
    return isinstance(value, Tensor) and value.is_floating_point() and value.dtype is not dtypes.float64


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [t for part in value for t in _tensors(part)]
    return [value] if isinstance(value, Tensor) else []


def cast_nested(value: Any, to: Any) -> Any:
    """Arguments with their floating-point tensors, but float64, cast; also inside lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return _cast_tensor(value, to) if _eligible(value) and value.dtype is not to else value
    if isinstance(value, dict):
        return {name: cast_nested(v, to) for name, v in value.items()}
    if isinstance(value, list) or value.__class__ is tuple:
        return type(value)([cast_nested(v, to) for v in value])
    return value


def _cast_tensor(value: Tensor, to: Any) -> Tensor:
    """A cast, which parameters keep for the next use: a second one would cost time, and memory on the tape."""
    casts = local.autocast_casts
    if casts is None or to is dtypes.float32 or not local.grad or not (value.is_leaf and value.requires_grad):
        return value.to(to)  # type: ignore[no-any-return]
    version = value._storage.version
    known = casts.get(id(value))
    if known is not None and known[0] is value and known[1] == version and known[2].dtype is to:
        return known[2]  # type: ignore[no-any-return]
    made: Tensor = value.to(to)
    casts[id(value)] = (value, version, made)  # holding the parameter keeps its id its own
    return made
