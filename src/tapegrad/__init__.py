"""tapegrad: imperative, PyTorch-like automatic differentiation in pure Python, with Numba kernels and an open tape."""

from __future__ import annotations

from math import e as e, inf as inf, nan as nan, pi as pi
from typing import TYPE_CHECKING

from . import (
    accelerator as accelerator,
    amp as amp,
    autograd as autograd,
    backends as backends,
    cuda as cuda,
    dtypes as dtypes,
    linalg as linalg,
    nn as nn,
    optim as optim,
    random as random,
    special as special,
    utils as utils,
)
from .amp import (
    autocast as autocast,
    get_autocast_dtype as get_autocast_dtype,
    is_autocast_enabled as is_autocast_enabled,
)
from .autograd import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    no_grad as no_grad,
    record as record,
    set_grad_enabled as set_grad_enabled,
)
from .backends import (
    are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled,
    get_float32_matmul_precision as get_float32_matmul_precision,
    set_float32_matmul_precision as set_float32_matmul_precision,
    use_deterministic_algorithms as use_deterministic_algorithms,
)
from .compile import (
    CompileError as CompileError,
    compile as compile,
)
from .device import (
    device as device,
    get_default_device as get_default_device,
    set_default_device as set_default_device,
)
from .dtypes import (
    bool_ as bool,
    can_cast as can_cast,
    complex64 as cfloat,
    complex64 as complex64,
    complex128 as cdouble,
    complex128 as complex128,
    dtype as dtype,
    finfo as finfo,
    float16 as float16,
    float16 as half,
    float32 as float,
    float32 as float32,
    float64 as double,
    float64 as float64,
    get_default_dtype as get_default_dtype,
    iinfo as iinfo,
    int8 as int8,
    int16 as int16,
    int16 as short,
    int32 as int,
    int32 as int32,
    int64 as int64,
    int64 as long,
    promote_types as promote_types,
    promotion_table as promotion_table,
    result_type as result_type,
    set_default_dtype as set_default_dtype,
    uint8 as uint8,
)
from .io import (
    CheckpointError as CheckpointError,
    load as load,
    save as save,
)
from .kernels.cpu import (
    empty_cache as empty_cache,
    get_num_threads as get_num_threads,
    memory_stats as memory_stats,
    set_cache_limit as set_cache_limit,
    set_num_threads as set_num_threads,
)
from .kernels.device_errors import OutOfMemoryError as OutOfMemoryError
from .lazy import imported_on_use as _imported_on_use
from .memory_format import *
from .modes import (
    is_grad_enabled as is_grad_enabled,
    is_inference_mode_enabled as is_inference_mode_enabled,
)
from .ops.aliases import *
from .ops.convert import detach as detach
from .ops.create import *
from .ops.dlpack import *
from .ops.elementwise.arithmetic import *
from .ops.elementwise.basic import *
from .ops.elementwise.bitwise import *
from .ops.elementwise.comparison import *
from .ops.elementwise.complex_parts import *
from .ops.elementwise.division import *
from .ops.elementwise.exponential import *
from .ops.elementwise.rounding import *
from .ops.elementwise.special import *
from .ops.elementwise.trigonometry import *
from .ops.index.gather import *
from .ops.index.index_put import *
from .ops.index.index_select import *
from .ops.index.mask import *
from .ops.index.scatter_reduce import *
from .ops.index.search import *
from .ops.index.sort import *
from .ops.linalg.cholesky import *
from .ops.linalg.distance import *
from .ops.linalg.einsum import *
from .ops.linalg.matmul import *
from .ops.linalg.matmul_add import *
from .ops.linalg.products import *
from .ops.nn.activation import (
    hardshrink as hardshrink,
    prelu as prelu,
    relu as relu,
    relu_ as relu_,
    rrelu as rrelu,
    rrelu_ as rrelu_,
    threshold as threshold,
    threshold_ as threshold_,
)
from .ops.nn.linear import bilinear as bilinear
from .ops.nn.normalization import group_norm as group_norm, layer_norm as layer_norm, rms_norm as rms_norm
from .ops.nn.similarity import cosine_similarity as cosine_similarity, pairwise_distance as pairwise_distance
from .ops.nn.smooth_activation import celu as celu, celu_ as celu_, selu as selu, selu_ as selu_
from .ops.nn.softmax import *
from .ops.queries import *
from .ops.random.generator import *
from .ops.random.sampling import *
from .ops.ranges import *
from .ops.reduction.counting import *
from .ops.reduction.covariance import *
from .ops.reduction.difference import *
from .ops.reduction.extremes import *
from .ops.reduction.order import *
from .ops.reduction.prod import *
from .ops.reduction.reduce import *
from .ops.reduction.scan import *
from .ops.reduction.vector_norm import *
from .ops.shape.copy import *
from .ops.shape.diagonal import *
from .ops.shape.expand import *
from .ops.shape.flip import *
from .ops.shape.grid import *
from .ops.shape.join import *
from .ops.shape.permute import *
from .ops.shape.ranks import *
from .ops.shape.reshape import *
from .ops.shape.split import *
from .ops.shape.tile import *
from .ops.shape.windows import *
from .ops.shape.written_copy import *
from .ops.toplevel import *
from .ops.typed import *
from .ops.vision.conv import (
    conv1d as conv1d,
    conv2d as conv2d,
    conv3d as conv3d,
    conv_transpose1d as conv_transpose1d,
    conv_transpose2d as conv_transpose2d,
    conv_transpose3d as conv_transpose3d,
)
from .ops.vision.max_pool import max_pool1d as max_pool1d, max_pool2d as max_pool2d, max_pool3d as max_pool3d
from .ops.vision.pixel import channel_shuffle as channel_shuffle, pixel_shuffle as pixel_shuffle, pixel_unshuffle as pixel_unshuffle
from .ops.vision.pool import adaptive_avg_pool1d as adaptive_avg_pool1d, avg_pool1d as avg_pool1d
from .primitives import E as E
from .printing import set_printoptions as set_printoptions
from .scalarops import define as elementwise
from .tensor import (
    Size as Size,
    Tensor as Tensor,
)
from .version import __version__ as __version__

newaxis = None
_MODULES = ("accelerator", "amp", "autograd", "backends", "cuda", "dtypes", "io", "linalg", "nn", "optim", "random", "special", "utils", "version")
_LAZY = ("distributions", "solver", "testing")

if dtypes.bfloat16 is not None:
    bfloat16 = dtypes.bfloat16


def __dir__() -> list[str]:
    """The public names: no internal modules."""
    from types import ModuleType

    hidden = ("annotations", "TYPE_CHECKING")
    names = [n for n, v in globals().items() if n[0] != "_" and n not in hidden and (not isinstance(v, ModuleType) or n in _MODULES)]
    return sorted({*names, *_LAZY, "__version__"})


if not TYPE_CHECKING:  # a type checker should know what there is

    def _missing(name: str) -> str:
        """For one of PyTorch's names, that may change."""
        return f"tapegrad has no {name!r}" + ("; it needs the package ml_dtypes" if name == "bfloat16" else " (yet)")

    __getattr__ = _imported_on_use(__name__, _LAZY, missing=_missing)
