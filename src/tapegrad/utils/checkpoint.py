"""Trading time for memory: what a region saves for backward is thrown away and computed again when it is needed.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", https://arxiv.org/abs/1604.06174. Saved values are replaced by
place holders through saved-tensor hooks, as PyTorch's non-reentrant form does it, so that gradients go where they always go: to
inputs, to parameters that the function only refers to, with ``create_graph``, and through regions inside of regions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .. import modes
from ..ops.random.generator import forked, position
from ..storage import Storage
from ..tensor import Tensor, wrap

__all__ = ["CheckpointError", "checkpoint", "checkpoint_sequential", "noop_context_fn"]


class CheckpointError(RuntimeError):
    """Computing a region again did not give what the first time gave.

    (:class:`tapegrad.io.CheckpointError` is about files.)
    """


class _Enough(BaseException):
    """Ends a recomputation that has made all saved values; not an Exception, so that the function does not catch it."""


class _Slot:
    """A place holder: the ``index``-th value that a region saved, and what must hold when it is asked for."""

    __slots__ = ("dtype", "index", "region", "shape", "storage", "version")

    def __init__(self, region: _Region, index: int, value: Tensor) -> None:
        self.region, self.index = region, index
        self.shape, self.dtype = tuple(value.shape), value.dtype
        self.storage: Storage = value._storage
        self.version = self.storage.version


class _Argument:
    """A tensor argument of a region; inside another region, that one's hooks keep its value."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor: Tensor | None = tensor
        self._storage, self._version = tensor._storage, tensor._storage.version
        hooks = modes.local.saved_hooks
        if hooks and not tensor.is_leaf:
            pack, self._unpack = hooks[-1]
            self._packed, self._entry = pack(wrap(tensor._array, None, tensor._storage)), tensor._entry
            self._tensor = None

    def tensor(self) -> Tensor:
        if self._storage.version != self._version:
            raise RuntimeError(
                f"checkpoint: an argument was modified in place by {self._storage.writer} before its region could be computed again; "
                "use the out-of-place operation, or pass a clone"
            )
        return wrap(self._unpack(self._packed)._array, self._entry) if self._tensor is None else self._tensor


class _Region:
    """One call of :func:`checkpoint`: how to compute it again, and what came of that."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> None:
        self.function, self.options = function, options
        self.args = [_Argument(a) if isinstance(a, Tensor) else a for a in args]
        self.kwargs = {k: _Argument(a) if isinstance(a, Tensor) else a for k, a in kwargs.items()}
        self.modes = modes.as_now()  # the same must be computed again
        self.random = position() if options["preserve_rng_state"] else None
        self.count = 0
        self.values: dict[int, Tensor] = {}

    def pack(self, value: Tensor) -> _Slot:
        """Forget a value that is saved for backward."""
        self.count += 1
        return _Slot(self, self.count - 1, value)

    def unpack(self, slot: _Slot) -> Tensor:
        """The value again."""
        if slot.storage.version != slot.version:
            raise RuntimeError(
                f"checkpoint: a value of shape {slot.shape} that the region saved for backward was modified in place by "
                f"{slot.storage.writer} afterwards, so it can't be computed again; use the out-of-place operation"
            )
        if slot.index not in self.values:
            self.compute()
        value = self.values.pop(slot.index)
        if self.options["determinism_check"] == "default" and (tuple(value.shape), value.dtype) != (slot.shape, slot.dtype):
            raise CheckpointError(
                f"checkpoint: value {slot.index} that the region saved had shape {slot.shape} and dtype {slot.dtype}, but shape "
                f"{tuple(value.shape)} and dtype {value.dtype} when computed again; the function must do the same each time"
            )
        return value

    def compute(self) -> None:
        """Run the function again and keep what it saves."""
        found: list[Tensor] = []

        def keep(value: Tensor) -> Tensor:
            if len(found) < self.count:
                found.append(value)
                if len(found) == self.count and self.options["early_stop"]:
                    raise _Enough
            return value

        args = [a.tensor() if isinstance(a, _Argument) else a for a in self.args]
        kwargs = {k: a.tensor() if isinstance(a, _Argument) else a for k, a in self.kwargs.items()}
        with contextlib.ExitStack() as stack:
            stack.enter_context(nullcontext() if self.random is None else forked(self.random))
            stack.enter_context(self.modes)
            stack.enter_context(self.options["recompute_context"])
            stack.enter_context(modes.enable_grad())
            stack.enter_context(modes.saved_tensors_hooks(keep, lambda value: value))
            with contextlib.suppress(_Enough):
                self.function(*args, **kwargs)
        if len(found) != self.count:
            raise CheckpointError(
                f"checkpoint: the region saved {self.count} values for backward, but {len(found)} when computed again; the function must "
                "do the same each time"
            )
        self.values = dict(enumerate(found))


def noop_context_fn() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Contexts for the first and for later runs of a region that do nothing."""
    return nullcontext(), nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, without keeping what it saves for backward: that is computed again when gradients are.

    The function must do the same each time; its arguments, and what it refers to, must not be modified in place before
    backward. Tensor arguments inside lists or dicts may be used, but their values are kept.

    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> y = checkpoint(lambda x: (x.exp() * x).sin().sum(), x)
    >>> y.tape().saved
    0
    >>> y.backward()

    Args:
        function: what to run, now and again in backward.
        use_reentrant: accepted; both of PyTorch's forms give the same gradients here, by the non-reentrant way.
        context_fn: returns two context managers, for the first run and for those in backward.
        determinism_check: "default" compares shapes and dtypes of what is computed again; "none" does not.
        debug: accepted; errors name the values in any case.
        early_stop: stop computing again as soon as all saved values are known.
        preserve_rng_state: draw the same numbers from the default generator again, as dropout needs it. Other generators are
            the function's own affair.

    Raises:
        ValueError: for an unknown ``determinism_check``.
        CheckpointError: in backward, when the function did something else.
        RuntimeError: in backward, when an argument or a saved value was modified in place.
    """
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check must be 'default' or 'none', got {determinism_check!r}")
    first, later = context_fn()
    if not modes.is_grad_enabled():
        with first:
            return function(*args, **kwargs)
    options = {
        "determinism_check": determinism_check,
        "early_stop": early_stop,
        "preserve_rng_state": preserve_rng_state,
        "recompute_context": later,
    }
    region = _Region(function, args, kwargs, options)
    with first, modes.saved_tensors_hooks(region.pack, region.unpack):
        return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Iterable[Callable[[Any], Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """The functions (or modules of an ``nn.Sequential``) one after the other, in ``segments`` checkpointed parts.

    Only the last part keeps what it saves, since backward begins with it.

    Raises:
        ValueError: unless ``segments`` is positive.
        TypeError: for unknown keywords.
    """
    if kwargs:
        raise TypeError(f"checkpoint_sequential() got unexpected keywords {sorted(kwargs)}")
    if segments <= 0:
        raise ValueError(f"checkpoint_sequential: segments must be positive, got {segments}")
    steps = list(functions)
    size = max(1, len(steps) // segments)

    def part(begin: int, end: int) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for step in steps[begin:end]:
                value = step(value)
            return value

        return run

    begin = 0
    for _ in range(min(segments, len(steps)) - 1):
        input = checkpoint(part(begin, begin + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state)
        begin += size
    return part(begin, len(steps))(input)
