"""JAX behind the names that the cases use, and cases compiled by ``jax.jit``."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .harness import Run, cotangent

jax.config.update("jax_enable_x64", True)

functional = SimpleNamespace(
    gelu=lambda x: jax.nn.gelu(x, approximate=False),
    silu=jax.nn.silu,
    softmax=lambda x, dim: jax.nn.softmax(x, dim),
    log_softmax=lambda x, dim: jax.nn.log_softmax(x, dim),
)
namespace = SimpleNamespace(
    nn=SimpleNamespace(functional=functional),
    exp=jnp.exp,
    log=jnp.log,
    tanh=jnp.tanh,
    sigmoid=jax.nn.sigmoid,
    pow=jnp.power,
    where=jnp.where,
    matmul=jnp.matmul,
    sum=lambda x, dim=None: jnp.sum(x, dim),
    mean=lambda x, dim=None: jnp.mean(x, dim),
    amax=lambda x, dim=None: jnp.max(x, dim),
    argmax=lambda x, dim=None: jnp.argmax(x, dim),
    var=lambda x, dim=None: jnp.var(x, dim, ddof=1),
    logsumexp=lambda x, dim=None: jax.nn.logsumexp(x, dim),
)


def compiled(function: Callable[..., Any], arrays: list[np.ndarray[Any, Any]], backward: bool) -> Run:
    """``function(namespace, *arrays)``, with the gradients of floating-point arrays if ``backward``, as one compiled program."""
    xs = [jnp.asarray(a) for a in arrays]
    if not backward:
        forward = jax.jit(lambda *xs: function(namespace, *xs))
        return lambda: forward(*xs).block_until_ready()
    leaves = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]

    def step(g: Any, *xs: Any) -> Any:
        def of_leaves(*values: Any) -> Any:
            given = list(xs)
            for i, value in zip(leaves, values, strict=True):
                given[i] = value
            return function(namespace, *given)

        y, pullback = jax.vjp(of_leaves, *[xs[i] for i in leaves])
        return (y, *pullback(g))

    shape = jax.eval_shape(lambda *xs: function(namespace, *xs), *xs)
    g = jnp.asarray(cotangent(shape.shape, shape.dtype))
    program = jax.jit(step)
    return lambda: jax.block_until_ready(program(g, *xs))
