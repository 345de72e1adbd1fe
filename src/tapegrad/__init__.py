"""tapegrad: imperative, PyTorch-like automatic differentiation in pure Python, with Numba kernels and an open tape."""

from __future__ import annotations

from . import (
    autograd as autograd,
    dtypes as dtypes,
    nn as nn,
    optim as optim,
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
from .expr import E as E
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
from .ops.activation import relu as relu
from .ops.copy import *
from .ops.create import *
from .ops.elementwise import *
from .ops.extremes import *
from .ops.gather import *
from .ops.join import *
from .ops.matmul import *
from .ops.random import *
from .ops.reduce import *
from .ops.scan import *
from .ops.shape import *
from .ops.softmax import *
from .printing import set_printoptions as set_printoptions
from .scalarops import define as elementwise
from .tensor import (
    Size as Size,
    Tensor as Tensor,
)
