"""Grad modes and listeners: what each thread has switched on.

``local.flags`` is all that the fast path of an operation reads: 0 records for backward, 1 does not (``no_grad``), 2 and above
sends every operation through the general path, because something listens (a recording, a trace, anomaly mode, saved-tensor
hooks).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Listener(Protocol):
    """Told of every operation at the dispatch point, after it ran."""

    def operation(self, op: Any, inputs: tuple[Any, ...], params: dict[str, Any], outputs: tuple[Any, ...]) -> None: ...


class Tracer(Protocol):
    """What turns the operations of a region into a program, and so must know what else the region depends on."""

    def guard(self, read: Callable[[], object]) -> None:
        """The program holds only while ``read()`` gives what it gives now."""

    def check(self, tensor: Any, function: Callable[[Any], None]) -> None:
        """Every run must call ``function`` with the array of ``tensor``, which raises when its values can't be used."""

    def counted(self, states: list[dict[str, Any]], name: str, formula: Callable[[float], tuple[float, ...]]) -> tuple[Any, ...]:
        """See :func:`counted`."""

    def refuse(self, what: str) -> NoReturn:
        """Raise, since the program could not repeat what the region does."""

    def gradient(self, tensor: Any, assigned: bool) -> None:
        """The ``.grad`` of ``tensor`` is about to be looked at, or to be ``assigned`` whatever it was."""

    def differentiated(self, edges: Any) -> None:
        """A backward pass went through these edges, and can't do so again."""


class _Modes(threading.local):
    def __init__(self) -> None:  # in every thread
        self.flags = 0
        self.careful = 0  # what ops read instead that autocast on a GPU has compute in float32: the same, and 4 where it does
        self.grad = True
        self.inference = False
        self.anomaly = False
        self.tracing = False
        self.tracer: Tracer | None = None
        self.listeners: tuple[Listener, ...] = ()
        self.saved_hooks: tuple[tuple[Callable[[Any], Any], Callable[[Any], Any]], ...] = ()
        self.autocast = False  # whether functions choose the dtype they compute in; see casting.py
        self.autocast_on: frozenset[str] = frozenset()  # for tensors on which types of devices
        self.autocast_dtype: Any = None  # the lower one on a CPU; None is bfloat16
        self.autocast_cuda_dtype: Any = None  # on a GPU; None is float16
        self.autocast_casts: dict[int, tuple[Any, int, Any]] | None = None  # of parameters, kept until the outermost region ends

    def refresh(self) -> None:
        self.flags = (0 if self.grad else 1) + (2 if self.listeners or self.saved_hooks or self.anomaly else 0)
        self.careful = self.flags + (4 if self.autocast and "cuda" in self.autocast_on else 0)


local = _Modes()
_OF_COMPUTING = ("autocast", "autocast_on", "autocast_dtype", "autocast_cuda_dtype")  # decide on values; the others on who records, listens and keeps


def snapshot() -> dict[str, Any]:
    """This thread's modes; ``local.__dict__.update(...)`` puts them back, in one call that no signal can split."""
    return local.__dict__.copy()


def values_leave(what: str) -> None:
    """Say that Python sees a tensor's values (``what`` is the call that shows them), which a trace can't follow."""
    if local.tracer is not None:
        local.tracer.refuse(what)


def check_values(tensor: Any, function: Callable[[Any], None]) -> None:
    """Call ``function`` with the tensor's array, to raise when its values can't be used; a trace has every replay do so.

    Values on a GPU are not looked at, which would wait for it: its kernels look themselves (see ``kernels.cuda.errors``).
    """
    if tensor.is_cuda:
        return
    function(tensor._array)
    if local.tracer is not None:
        local.tracer.check(tensor, function)


def counted(states: list[dict[str, Any]], name: str, formula: Callable[[float], tuple[float, ...]]) -> tuple[Any, ...]:
    """Advance the counters ``state[name]``, 0-d tensors that agree, and return ``formula(count)``.

    Under a trace the numbers are 0-d tensors, which every replay from Python advances and fills anew.
    """
    if local.tracer is not None:
        return local.tracer.counted(states, name, formula)
    reached = [advance(state[name]) for state in states]
    return formula(reached[0])


def advance(counter: Any) -> float:
    """Add one to a 0-d tensor and return the count. No operation, so that a trace does not take it for one of a replay's."""
    array = counter._array
    array += 1
    counter._storage.wrote("counting")
    return float(array)


def is_grad_enabled() -> bool:
    """Whether operations are recorded for backward in this thread."""
    return local.grad


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside :class:`inference_mode`."""
    return local.inference


class Mode:
    """A context manager that is also a decorator, for functions and generators, and can be entered again."""

    def __init__(self) -> None:
        self._before: list[dict[str, Any]] = []

    def _settings(self) -> dict[str, Any]:
        raise NotImplementedError

    def __enter__(self) -> Any:
        settings, modes = self._settings(), local.__dict__
        self._before.append({name: modes[name] for name in settings})
        modes.update(settings)
        local.refresh()
        return self

    def __exit__(self, *exc: object) -> None:
        local.__dict__.update(self._before.pop())
        local.refresh()

    def __call__(self, function: F) -> F:
        import inspect

        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
                running = function(*args, **kwargs)
                sent, thrown = None, None
                while True:  # the mode holds inside the generator only, not in the loop that consumes it
                    try:
                        with self._clone():
                            value = running.throw(thrown) if thrown is not None else running.send(sent)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        sent, thrown = (yield value), None
                    except GeneratorExit:
                        running.close()
                        raise
                    except BaseException as error:
                        thrown = error

            return generator  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._clone():
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    def _clone(self) -> Mode:
        return type(self)()


class as_now(Mode):
    """A region, for later, that computes as this thread did when it was made, under the same autocast."""

    def __init__(self) -> None:
        super().__init__()
        self._now = {name: getattr(local, name) for name in _OF_COMPUTING}

    def _settings(self) -> dict[str, Any]:
        return self._now

    def _clone(self) -> Mode:
        made = as_now()
        made._now = self._now
        return made


def _set(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        setattr(local, name, value)
    local.refresh()


class _BareDecorator(type):
    """Lets a mode without arguments decorate without parentheses: ``@no_grad``; for ``with`` they are needed."""

    def __enter__(cls) -> Any:
        raise TypeError(f"{cls.__name__} must be called: with {cls.__name__}(): ...")

    def __exit__(cls, *exc: object) -> None:
        """Never reached; ``with`` looks for it before it enters."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and callable(args[0]) and not isinstance(args[0], bool):
            return super().__call__()(args[0])
        return super().__call__(*args, **kwargs)


class no_grad(Mode, metaclass=_BareDecorator):
    """Operations inside are not recorded for backward. Context manager and decorator, per thread.

    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with no_grad():
    ...     (2 * x).requires_grad
    False
    """

    def _settings(self) -> dict[str, Any]:
        return {"grad": False}


class enable_grad(Mode, metaclass=_BareDecorator):
    """Operations inside are recorded, also within :class:`no_grad`."""

    def _settings(self) -> dict[str, Any]:
        return {"grad": True}


class inference_mode(Mode, metaclass=_BareDecorator):
    """As :class:`no_grad`; ``inference_mode(False)`` leaves recording on."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode = mode

    def _settings(self) -> dict[str, Any]:
        return {"grad": not self.mode, "inference": self.mode}

    def _clone(self) -> Mode:
        return inference_mode(self.mode)


class set_grad_enabled(Mode):
    """Switch recording on or off: at once as a function, until the block ends as a context manager, or as a decorator."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = bool(mode)
        self._first = {"grad": local.grad}
        _set({"grad": self.mode})

    def _settings(self) -> dict[str, Any]:
        return {"grad": self.mode}

    def __enter__(self) -> set_grad_enabled:
        super().__enter__()
        self._before[-1] = self._first
        return self

    def __call__(self, function: F) -> F:
        _set(self._first)  # as a decorator it must not switch anything now
        return super().__call__(function)

    def _clone(self) -> Mode:
        return set_grad_enabled(self.mode)


class set_detect_anomaly(Mode):
    """Check every gradient for NaN and every saved value for changes from outside, and note source lines; slow.

    At once as a function, until the block ends as a context manager.
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode = bool(mode)
        self._first = {"anomaly": local.anomaly}
        _set({"anomaly": self.mode})

    def _settings(self) -> dict[str, Any]:
        return {"anomaly": self.mode}

    def __enter__(self) -> set_detect_anomaly:
        super().__enter__()
        self._before[-1] = self._first
        return self

    def _clone(self) -> Mode:
        return set_detect_anomaly(self.mode)


class detect_anomaly(Mode, metaclass=_BareDecorator):
    """:class:`set_detect_anomaly` for a block."""

    def _settings(self) -> dict[str, Any]:
        return {"anomaly": True}


@contextmanager
def listening(listener: Listener) -> Generator[None, None, None]:
    """Tell ``listener`` of every operation of this thread inside the block."""
    _set({"listeners": (*local.listeners, listener)})
    try:
        yield
    finally:
        _set({"listeners": tuple(other for other in local.listeners if other is not listener)})


@contextmanager
def tracing(tracer: Tracer) -> Generator[None, None, None]:
    """Have backward passes of this thread do everything through dispatched operations, so that listeners see it.

    What a program depends on besides these operations is told to ``tracer``.
    """
    before = {"tracing": local.tracing, "tracer": local.tracer}
    _set({"tracing": True, "tracer": tracer})
    try:
        yield
    finally:
        _set(before)


class saved_tensors_hooks:
    """Pack what operations inside the block save for backward with ``pack(tensor)``, and rebuild it with ``unpack(packed)``.

    Gradients need ``unpack`` to return the values that were saved. PyTorch's ``torch.autograd.graph.saved_tensors_hooks``.
    """

    def __init__(self, pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> None:
        self._pair = (pack, unpack)

    def __enter__(self) -> saved_tensors_hooks:
        _set({"saved_hooks": (*local.saved_hooks, self._pair)})
        return self

    def __exit__(self, *exc: object) -> None:
        _set({"saved_hooks": local.saved_hooks[:-1]})
