"""The operations: one declaration each, in the file of its family, whose ``__all__`` is what users get."""

from __future__ import annotations

from . import (
    aliases as aliases,
    checks as checks,
    convert as convert,
    create as create,
    numpy_protocols as numpy_protocols,
    python_protocols as python_protocols,
    queries as queries,
    return_types as return_types,
    toplevel as toplevel,
    typed as typed,
    write as write,
)
from .elementwise import (
    arithmetic as arithmetic,
    basic as basic,
    bitwise as bitwise,
    comparison as comparison,
    complex_parts as complex_parts,
    division as division,
    exponential as exponential,
    rounding as rounding,
    special as special,
    trigonometry as trigonometry,
)
from .index import (
    gather as gather,
    index_put as index_put,
    index_select as index_select,
    indexing as indexing,
    mask as mask,
    scatter_reduce as scatter_reduce,
    search as search,
    sort as sort,
)
from .install import install
from .linalg import (
    cholesky as cholesky,
    distance as distance,
    einsum as einsum,
    matmul as matmul,
    matmul_add as matmul_add,
    norm as norm,
    products as products,
)
from .loss import (
    class_targets as class_targets,
    classification as classification,
    cross_entropy as cross_entropy,
    ctc as ctc,
    embedding_loss as embedding_loss,
    margin as margin,
    reduction as reduction,
    regression as regression,
)
from .nn import (
    activation as activation,
    attention as attention,
    dropout as dropout,
    embedding as embedding,
    embedding_bag as embedding_bag,
    linear as linear,
    multihead_attention as multihead_attention,
    normalization as normalization,
    one_hot as one_hot,
    recurrent as recurrent,
    response_norm as response_norm,
    similarity as similarity,
    smooth_activation as smooth_activation,
    softmax as softmax,
    standardize as standardize,
)
from .random import (
    gamma as gamma,
    generator as generator,
    in_place_sampling as in_place_sampling,
    sampling as sampling,
)
from .reduction import (
    counting as counting,
    covariance as covariance,
    difference as difference,
    extremes as extremes,
    order as order,
    prod as prod,
    reduce as reduce,
    scan as scan,
    slopes as slopes,
    vector_norm as vector_norm,
)
from .shape import (
    copy as copy,
    diagonal as diagonal,
    expand as expand,
    flip as flip,
    grid as grid,
    join as join,
    permute as permute,
    pieces as pieces,
    ranks as ranks,
    reshape as reshape,
    split as split,
    tile as tile,
    windows as windows,
    written_copy as written_copy,
)
from .vision import (
    conv as conv,
    fold as fold,
    fractional_pool as fractional_pool,
    grid_sample as grid_sample,
    interpolate as interpolate,
    max_pool as max_pool,
    max_unpool as max_unpool,
    pad as pad,
    pixel as pixel,
    pool as pool,
    resample as resample,
    window_args as window_args,
)

install()
