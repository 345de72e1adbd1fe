"""The nesting of a saved object as JSON, and back.

JSON's null, booleans, finite numbers, strings and lists stand for themselves. Everything else is an object with one
key: ``{"dict": [[key, value], ...]}``, ``{"counter": ...}`` likewise, ``{"tuple": [...]}``, ``{"float": "bits of NaN or
inf, in hexadecimal"}``, ``{"int": "hexadecimal, beyond 64 bits"}`` and ``{"ref": n}``, the n-th entry in the table of
Tensors and arrays. An entry of that table is ``{"name": the stored tensor, "requires_grad": for a Tensor, "dtype": for complex128}``.
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter, OrderedDict
from typing import Any

import numpy as np

from ..device import CPU, device as Device, on_host
from ..ops.create import from_numpy
from ..tensor import Tensor
from .header import Array, Entry, Flaw, code_of, parse_json, short

__all__ = ["Packer", "Unpacker", "checked_tensor", "parse_structure", "type_name"]

_MAX_NESTING = 64


def _tensor_from(array: Array, requires_grad: bool) -> Tensor:
    """A leaf Tensor that shares memory with ``array``."""
    tensor = from_numpy(array)
    if requires_grad:
        tensor.requires_grad_(True)
    return tensor


class Packer:
    """Turns a nesting into JSON nodes; collects the arrays by name and the Tensor and array objects that use them."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.objects: list[dict[str, object]] = []
        self._index: dict[int, int] = {}  # id of a Tensor or array -> its place in objects
        self._names: dict[tuple[object, ...], str] = {}  # where the memory lies and how it is laid out -> name
        self._open: set[int] = set()  # ids of the containers around the current node
        self._alive: list[object] = []  # ids and addresses stay unique only while their owners live
        self._copies: dict[tuple[object, ...], Array] = {}  # of tensors on a GPU, by their memory there

    def node(self, value: Any, path: tuple[str | int, ...]) -> object:
        """The JSON node for ``value``: itself, a list, or an object with one key that says its kind."""
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is float:
            # JSON has no NaN or inf; the bits keep a NaN's sign and payload.
            return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
        if kind is int:
            # Python refuses to parse decimal numbers of thousands of digits; hexadecimal has no such limit.
            return value if value.bit_length() <= 64 else {"int": f"{value:x}"}
        if isinstance(value, Tensor):
            return self._ref(value, self._array_of(value), path, requires_grad=bool(value.requires_grad))
        if kind is np.ndarray or kind is np.memmap:
            return self._ref(value, value, path)
        if kind in (dict, OrderedDict, Counter, list, tuple):
            return self._container(value, path)
        # Subclasses are refused, since they would come back as something else.
        base = next((base for base in (int, float, str, list, tuple, dict) if isinstance(value, base)), None)
        way = ".item()" if isinstance(value, np.generic) else f"{base.__name__}()" if base else None
        hint = f"; convert it with {way}" if way else "; save its .state_dict()" if callable(getattr(value, "state_dict", None)) else ""
        raise TypeError(f"cannot save {_where(path)}: {type_name(value)} is not supported{hint}")

    def _array_of(self, tensor: Tensor) -> Array:
        """The tensor's NumPy array, sharing memory; of one on a GPU a copy, the same for the same memory."""
        array: Array = tensor._array
        if not tensor.is_cuda:
            return array
        memory = (str(tensor.device), tensor.data_ptr(), array.dtype.name, array.shape, array.strides)
        if memory not in self._copies:
            self._copies[memory] = on_host(array)
            self._alive.append(tensor)
        return self._copies[memory]

    def _container(self, value: Any, path: tuple[str | int, ...]) -> object:
        if id(value) in self._open:
            raise ValueError(f"cannot save {_where(path)}: it contains itself")
        if len(path) >= _MAX_NESTING:
            raise ValueError(f"cannot save {_where(path)}: nested deeper than {_MAX_NESTING}")
        self._open.add(id(value))
        node: object
        if isinstance(value, dict):
            pairs: list[object] = []
            for key, item in value.items():
                if type(key) is not str and type(key) is not int:
                    raise TypeError(f"cannot save {_where(path)}: a key is {type_name(key)}, not str or int")
                pairs.append([self.node(key, path), self.node(item, (*path, key))])
            node = {"counter" if type(value) is Counter else "dict": pairs}
        else:
            items = [self.node(item, (*path, i)) for i, item in enumerate(value)]
            node = items if isinstance(value, list) else {"tuple": items}
        self._open.remove(id(value))
        return node

    def _ref(self, owner: object, array: Array, path: tuple[str | int, ...], **flags: bool) -> object:
        """The node for a Tensor (it has the flag requires_grad) or array; the same object and memory come in once."""
        if id(owner) in self._index:
            return {"ref": self._index[id(owner)]}
        if code_of(array.dtype) is None:
            raise TypeError(f"cannot save {_where(path)}: dtype {array.dtype} is not supported")
        memory = (array.__array_interface__["data"][0], array.dtype.str, array.dtype.name, array.shape, array.strides)
        if memory not in self._names:
            self._names[memory] = self._name(path)
            self.arrays[self._names[memory]] = array
        entry: dict[str, object] = {"name": self._names[memory], **flags}
        if array.dtype.name == "complex128":
            entry["dtype"] = "complex128"
        self._alive += [owner, array]
        self._index[id(owner)] = len(self.objects)
        self.objects.append(entry)
        return {"ref": self._index[id(owner)]}

    def _name(self, path: tuple[str | int, ...]) -> str:
        """A fresh name from the path: state-dict keys stay what they are; half of a surrogate pair is not UTF-8."""
        base = ".".join(_text(key) for key in path).encode("utf-8", "backslashreplace").decode() or "tensor"
        name, n = base, 1
        while name in self.arrays or name == "__metadata__":
            n += 1
            name = f"{base}~{n}"
        return name


def _text(key: str | int) -> str:
    return key if isinstance(key, str) else str(key) if key.bit_length() <= 64 else hex(key)


def _where(path: tuple[str | int, ...]) -> str:
    return "obj" + "".join(f"[{key!r}]" if isinstance(key, str) else f"[{_text(key)}]" for key in path)


def type_name(value: object) -> str:
    """The type as a message names it."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def parse_structure(text: str, entries: dict[str, Entry]) -> tuple[list[dict[str, Any]], Any]:
    """The table of Tensor and array objects, checked against the tensors present, and the root node."""
    structure = parse_json(text, "the structure", depth=3 * _MAX_NESTING + 2)  # a dict costs three levels
    if not isinstance(structure, dict) or structure.keys() != {"objects", "root"}:
        raise Flaw("the structure is not a table of objects and a root")
    objects = structure["objects"]
    if not isinstance(objects, list):
        raise Flaw("the structure's table of objects is not a list")
    for item in objects:
        if not isinstance(item, dict) or not item.keys() <= {"name", "requires_grad", "dtype"}:
            raise Flaw(f"the structure has an unknown object: {short(item)}")
        name = item.get("name")
        if not isinstance(name, str) or name not in entries:
            raise Flaw(f"the structure refers to a tensor that does not exist: {short(name)}")
        if not isinstance(item.get("requires_grad", False), bool):
            raise Flaw(f"tensor {short(name)}: requires_grad is not a bool")
        stored = entries[name]
        if "dtype" in item and (item["dtype"] != "complex128" or stored.code != "F64" or stored.shape[-1:] != (2,)):
            raise Flaw(f"tensor {short(name)}: not pairs of float64, as complex128 is stored")
    return objects, structure["root"]


class Unpacker:
    """Turns JSON nodes back into the nesting; every object of the table is made once."""

    def __init__(self, objects: list[dict[str, Any]], arrays: dict[str, Array], where: Device = CPU) -> None:
        self._made: list[object] = []
        moved: dict[str, Tensor] = {}
        seen: set[str] = set()
        for item in objects:
            name = item["name"]
            array = arrays[name]
            if "dtype" in item:
                array = array.view(np.complex128).reshape(array.shape[:-1])
            if "requires_grad" in item:
                if where == CPU:
                    made = checked_tensor(name, array, item["requires_grad"])
                else:
                    if name not in moved:  # what shared memory shares it again
                        moved[name] = checked_tensor(name, array, requires_grad=False).to(where)
                    made = moved[name].detach().requires_grad_(item["requires_grad"])
                self._made.append(made)
            else:
                self._made.append(array.view() if name in seen else array)
            seen.add(name)

    def value(self, node: Any) -> Any:
        """What the node stands for; :class:`Packer` says which nodes there are."""
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        [(kind, content)] = node.items() if len(node) == 1 else [("", None)]
        if kind == "ref" and type(content) is int and 0 <= content < len(self._made):
            return self._made[content]
        if kind == "tuple" and isinstance(content, list):
            return tuple(self.value(content))
        if kind == "float" and isinstance(content, str) and re.fullmatch("[0-9a-f]{16}", content):
            return struct.unpack(">d", bytes.fromhex(content))[0]
        if kind == "int" and isinstance(content, str) and re.fullmatch("-?[0-9a-f]+", content):
            return int(content, 16)
        if kind in ("dict", "counter") and isinstance(content, list):
            return self._dict(content) if kind == "dict" else Counter(self._dict(content))
        raise Flaw(f"the structure has an unknown node: {short(node)}")

    def _dict(self, pairs: list[Any]) -> dict[str | int, Any]:
        table: dict[str | int, Any] = {}
        for pair in pairs:
            if not isinstance(pair, list) or len(pair) != 2:
                raise Flaw(f"the structure has a dict whose item is not a pair: {short(pair)}")
            key = self.value(pair[0])
            if (type(key) is not str and type(key) is not int) or key in table:
                raise Flaw(f"the structure has a dict with a bad or repeated key: {short(key)}")
            table[key] = self.value(pair[1])
        return table


def checked_tensor(name: str, array: Array, requires_grad: bool) -> Tensor:
    """The stored array as a Tensor; :class:`Flaw` if the library has no such Tensor."""
    try:
        return _tensor_from(array, requires_grad)
    except (TypeError, ValueError, RuntimeError) as error:  # such as a dtype that NumPy has and Tensor lacks
        raise Flaw(f"tensor {short(name)}: {error}") from error
