"""State dicts: what a module saves, and loading it, all or nothing."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ... import dtypes
from ...hooks import RemovableHandle
from ...inplace import check_writable
from ...modes import no_grad
from ...tensor import Tensor
from ..parameter import Parameter, is_lazy
from .hooks import Hooks, add
from .tree import Tree

if TYPE_CHECKING:
    from .module import Module

_EXTRA = "_extra_state"
_ASSIGN = "assign_to_params_buffers"


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` passed over: names that the state dict lacks, and names that the module lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class State(Tree):
    """The part of :class:`Module` that is saved and loaded."""

    _version = 1  # of the layout of the state dict; a class that changes it raises this and mends old ones while loading
    _state_dict_pre_hooks: Hooks
    _state_dict_hooks: Hooks
    _load_state_dict_pre_hooks: Hooks
    _load_state_dict_post_hooks: Hooks

    # --------------------------------------------------------------------------------------------------------- saving

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """Parameters and persistent buffers by name, sharing the module's memory; detached unless ``keep_vars``.

        Args:
            destination: a dict to put them in; a new ``OrderedDict`` by default. Its attribute ``_metadata`` gets the versions.
            prefix: what to put before each name.
            keep_vars: the tensors themselves instead of detached ones.
            args: ``destination``, ``prefix`` and ``keep_vars`` by position, which is deprecated.
        """
        if args:
            warnings.warn("state_dict: pass destination, prefix and keep_vars by keyword", FutureWarning, stacklevel=2)
            given: list[Any] = [destination, prefix, keep_vars]
            given[: len(args)] = args
            destination, prefix, keep_vars = given
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in tuple(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in tuple(self._state_dict_hooks.values()):
            changed = hook(self, destination, prefix, local_metadata)
            destination = destination if changed is None else changed
        return destination

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Put this module's own state, not its children's, into ``destination``; subclasses may add to it."""
        for name, value in self._own_state():
            destination[prefix + name] = value if keep_vars else value.detach()
        if type(self).get_extra_state is not State.get_extra_state:
            destination[prefix + _EXTRA] = self.get_extra_state()

    def _own_state(self) -> list[tuple[str, Any]]:
        buffers = ((name, buffer) for name, buffer in self._buffers.items() if name not in self._non_persistent_buffers_set)
        return [(name, value) for name, value in (*self._parameters.items(), *buffers) if value is not None]

    def get_extra_state(self) -> Any:
        """What else belongs in the state dict; a subclass that defines it defines :meth:`set_extra_state`, too."""
        raise RuntimeError(f"{type(self).__name__} does not define get_extra_state()")

    def set_extra_state(self, state: Any) -> None:
        """Take what :meth:`get_extra_state` gave, while a state dict is loaded."""
        raise RuntimeError(f"{type(self).__name__} does not define set_extra_state()")

    # -------------------------------------------------------------------------------------------------------- loading

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy values into the parameters and persistent buffers. Changes nothing unless all of them fit.

        Args:
            state_dict: what :meth:`state_dict` gave, or a checkpoint with the same names.
            strict: whether names must be the same.
            assign: take the tensors of the state dict themselves instead of copying their values, with their dtypes;
                parameters keep ``requires_grad``.

        Returns:
            The names that the state dict lacks and those that the module lacks; with ``strict`` both must be empty.

        Raises:
            RuntimeError: naming all problems: missing and unexpected names, wrong shapes, unfit dtypes.
            TypeError: when ``state_dict`` is not a mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        loading = _Loading(assign, getattr(state_dict, "_metadata", None))
        with no_grad():
            loading.gather(cast("Module", self), dict(state_dict), "")
            problems = loading.problems
            if problems:
                raise _error(self, [*loading.wrong_keys(strict), *problems])
            if not loading.hooks:
                if wrong := loading.wrong_keys(strict):
                    raise _error(self, wrong)
                loading.commit()
                return loading.keys
            # Hooks see the loaded values and may excuse wrong keys, so what they find is judged, and undone, afterwards.
            undo = loading.commit(keep=True)
            try:
                for module, hook in loading.hooks:
                    if hook(module, loading.keys) is not None:
                        raise AssertionError("a load_state_dict post-hook must return None; it may change incompatible_keys in place")
                if wrong := loading.wrong_keys(strict):
                    raise _error(self, wrong)
            except BaseException:
                for back in reversed(undo):
                    back()
                raise
        return loading.keys

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own state, not its children's; subclasses may mend ``state_dict`` before, or the lists after.

        Nothing is written while ``load_state_dict`` gathers problems: values are written together, when there are none.
        """
        for hook in tuple(self._load_state_dict_pre_hooks.values()):
            hook(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        module, assign = cast("Module", self), bool(local_metadata.get(_ASSIGN, False))
        writes: list[_Write] = []
        own = dict(self._own_state())
        for name, value in own.items():
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
                continue
            given = state_dict[key]
            if not is_lazy(value) and isinstance(given, Tensor) and not is_lazy(given) and value.ndim == 0 and given.shape == (1,):
                given = given[0]  # PyTorch had no 0-d tensors before its version 0.4
            if problem := _misfit(key, value, given, assign):
                error_msgs.append(problem)
            else:
                writes.append(_Write(module, name, value, given, assign))
        known: set[str] = {*own, *self._modules}
        if type(self).set_extra_state is not State.set_extra_state:
            known.add(_EXTRA)
            if prefix + _EXTRA in state_dict:
                writes.append(_Write(module, _EXTRA, None, state_dict[prefix + _EXTRA], assign))
            else:
                missing_keys.append(prefix + _EXTRA)
        for key in state_dict:
            if key.startswith(prefix):
                name, dot, _ = key[len(prefix) :].partition(".")
                if name not in (self._modules if dot else known):
                    unexpected_keys.append(key)
        if isinstance(error_msgs, _Problems):
            error_msgs.writes += writes
        else:  # called by someone else than load_state_dict
            with no_grad():
                for write in writes:
                    write.do()

    # ---------------------------------------------------------------------------------------------------------- hooks

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before the module's state is gathered."""
        return add(self._state_dict_pre_hooks, hook, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)``, which may change the state dict in place and returns None."""

        def run(*args: Any) -> None:
            if hook(*args) is not None:
                raise RuntimeError("a state_dict post-hook must return None; change the state dict in place")

        return add(self._state_dict_hooks, run, hook)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As :meth:`register_state_dict_post_hook`; the hook may return another state dict."""
        return add(self._state_dict_hooks, hook, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`` before loading.

        It may change the state dict (a copy) in place, and add to the lists.
        """
        return add(self._load_state_dict_pre_hooks, hook, hook)

    def _register_load_state_dict_pre_hook(self, hook: Callable[..., Any], with_module: bool = False) -> RemovableHandle:
        """As :meth:`register_load_state_dict_pre_hook`; without ``with_module`` the hook does not get the module."""
        return add(self._load_state_dict_pre_hooks, hook if with_module else lambda _, *args: hook(*args), hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after loading; it may empty the lists of keys to excuse them, and returns None."""
        return add(self._load_state_dict_post_hooks, hook, hook)


class _Write(NamedTuple):
    """A value that fits, and where it goes."""

    module: Module
    name: str
    own: Any
    value: Any
    assign: bool

    def do(self) -> None:
        module, name, own, value = self.module, self.name, self.own, self.value
        if name == _EXTRA:
            module.set_extra_state(value)
        elif self.assign:
            if isinstance(own, Parameter):
                value = value if isinstance(value, Parameter) else Parameter(value, requires_grad=own.requires_grad)
                value.requires_grad_(own.requires_grad)
            setattr(module, name, value)
        else:
            if is_lazy(own) and not is_lazy(value):
                own.materialize(value.shape)
            if not is_lazy(own):
                own.copy_(value)

    def undo(self) -> Callable[[], object]:
        """What takes it back; to be asked before."""
        module, name, own = self.module, self.name, self.own
        if name == _EXTRA:
            before = module.get_extra_state()
            return lambda: module.set_extra_state(before)
        if self.assign or is_lazy(own):
            return lambda: setattr(module, name, own)
        values = own.detach().clone()
        return lambda: own.copy_(values)


class _Problems(list[str]):
    """What does not fit; beside it, what does and is to be written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[_Write] = []


class _Loading:
    """One call of ``load_state_dict``."""

    def __init__(self, assign: bool, metadata: Any) -> None:
        self.assign = assign
        self.metadata = metadata or {}
        self.keys = IncompatibleKeys([], [])
        self.problems = _Problems()
        self.hooks: list[tuple[Module, Callable[..., Any]]] = []

    def gather(self, module: Module, state: dict[str, Any], prefix: str) -> None:
        """Find out what fits in the module and all below it."""
        local_metadata = dict(self.metadata.get(prefix[:-1], {}))
        if self.assign:
            local_metadata[_ASSIGN] = True
        module._load_from_state_dict(state, prefix, local_metadata, True, *self.keys, self.problems)
        below: dict[str, dict[str, Any]] = {}
        for key, value in state.items():
            below.setdefault(key[len(prefix) :].partition(".")[0], {})[key] = value
        for name, child in module._modules.items():
            if child is not None:
                self.gather(child, below.get(name, {}), f"{prefix}{name}.")
        self.hooks += [(module, hook) for hook in module._load_state_dict_post_hooks.values()]

    def wrong_keys(self, strict: bool) -> list[str]:
        """What ``strict`` complains about."""
        kinds = (("Missing", self.keys.missing_keys), ("Unexpected", self.keys.unexpected_keys))
        return [f"{kind} key(s) in state_dict: " + ", ".join(f'"{key}"' for key in keys) + ". " for kind, keys in kinds if strict and keys]

    def commit(self, keep: bool = False) -> list[Callable[[], object]]:
        """Write all values; with ``keep``, returns what takes that back, in order."""
        undo: list[Callable[[], object]] = []
        for write in self.problems.writes:
            if keep:
                undo.append(write.undo())
            write.do()
        return undo


def _error(module: State, problems: list[str]) -> RuntimeError:
    return RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(problems))


def _misfit(key: str, own: Tensor, value: Any, assign: bool) -> str | None:
    """Why ``value`` can't become ``own``, or None."""
    if not isinstance(value, Tensor):
        return f'While copying the parameter named "{key}", expected a Tensor from checkpoint but received {type(value)}'
    if is_lazy(own):
        return None
    if is_lazy(value):
        return f"{key}: the checkpoint has an uninitialized parameter, the current model's has the shape {own.shape}."
    if value.shape != own.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
            f"the shape in current model is {own.shape}."
        )
    if assign:
        if isinstance(own, Parameter) and own.requires_grad and not value.dtype.differentiable:
            return f"dtype mismatch for {key}: {value.dtype} in the checkpoint can't require grad."
        return None
    if not dtypes.can_cast(value.dtype, own.dtype):
        return f"dtype mismatch for {key}: {value.dtype} in the checkpoint can't become the current model's {own.dtype}."
    try:
        check_writable(own, key)
    except RuntimeError as error:
        return str(error)
    return None
