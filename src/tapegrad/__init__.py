"""tapegrad: imperative, PyTorch-like automatic differentiation in pure Python, with Numba kernels and an open tape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import (
    autograd as autograd,
    dtypes as dtypes,
    nn as nn,
    optim as optim,
    special as special,
    utils as utils,
)
from .autograd import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    no_grad as no_grad,
    record as record,
    set_grad_enabled as set_grad_enabled,
)
from .compile import (
    CompileError as CompileError,
    compile as compile,
)
from .device import device as device
from .dtypes import (
    bool_ as bool,
    can_cast as can_cast,
    complex64 as complex64,
    complex128 as complex128,
    dtype as dtype,
    finfo as finfo,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    get_default_dtype as get_default_dtype,
    iinfo as iinfo,
    int8 as int8,
    int16 as int16,
    int32 as int32,
    int64 as int64,
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
    get_num_threads as get_num_threads,
    set_num_threads as set_num_threads,
)
from .modes import (
    is_grad_enabled as is_grad_enabled,
    is_inference_mode_enabled as is_inference_mode_enabled,
)
from .ops.activation import (
    hardshrink as hardshrink,
    prelu as prelu,
    relu as relu,
    relu_ as relu_,
    rrelu as rrelu,
    rrelu_ as rrelu_,
    threshold as threshold,
    threshold_ as threshold_,
)
from .ops.aliases import *
from .ops.arithmetic import *
from .ops.bitwise import *
from .ops.comparison import *
from .ops.copy import *
from .ops.counting import *
from .ops.covariance import *
from .ops.create import *
from .ops.diagonal import *
from .ops.difference import *
from .ops.distance import *
from .ops.division import *
from .ops.einsum import *
from .ops.elementwise import *
from .ops.exponential import *
from .ops.extremes import *
from .ops.flip import *
from .ops.gather import *
from .ops.grid import *
from .ops.index_put import *
from .ops.index_select import *
from .ops.join import *
from .ops.linear import bilinear as bilinear
from .ops.mask import *
from .ops.matmul import *
from .ops.matmul_add import *
from .ops.normalization import group_norm as group_norm, layer_norm as layer_norm, rms_norm as rms_norm
from .ops.order import *
from .ops.permute import *
from .ops.prod import *
from .ops.products import *
from .ops.random import *
from .ops.reduce import *
from .ops.rounding import *
from .ops.sampling import *
from .ops.scan import *
from .ops.scatter_reduce import *
from .ops.search import *
from .ops.shape import *
from .ops.similarity import cosine_similarity as cosine_similarity, pairwise_distance as pairwise_distance
from .ops.smooth_activation import celu as celu, celu_ as celu_, selu as selu, selu_ as selu_
from .ops.softmax import *
from .ops.sort import *
from .ops.special import *
from .ops.split import *
from .ops.tile import *
from .ops.trigonometry import *
from .ops.vector_norm import *
from .ops.windows import *
from .primitives import E as E
from .printing import set_printoptions as set_printoptions
from .scalarops import define as elementwise
from .tensor import (
    Size as Size,
    Tensor as Tensor,
)

__version__ = "0.1.0"
_MODULES = ("autograd", "dtypes", "nn", "optim", "special", "utils")

if dtypes.bfloat16 is not None:
    bfloat16 = dtypes.bfloat16


def __dir__() -> list[str]:
    """The public names: no internal modules."""
    from types import ModuleType

    hidden = ("annotations", "TYPE_CHECKING", "Any")
    names = [n for n, v in globals().items() if n[0] != "_" and n not in hidden and (not isinstance(v, ModuleType) or n in _MODULES)]
    return sorted({*names, "testing", "__version__"})


if not TYPE_CHECKING:  # a type checker should know what there is

    def __getattr__(name: str) -> Any:
        """``testing``, imported when it is first used; else say that a name is missing, which for one of PyTorch's may change."""
        import importlib
        import sys

        if name == "testing":
            return importlib.import_module(".testing", __name__)
        needs = "; it needs the package ml_dtypes" if name == "bfloat16" else " (yet)"
        raise AttributeError(f"tapegrad has no {name!r}{needs}", name=name, obj=sys.modules[__name__])
