"""Checkpoints: exact round trips, atomic writes, and refusal of everything that is not what was saved."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import tracemalloc
import zipfile
from collections import Counter, OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import example, given, strategies as st
from hypothesis.extra import numpy as hnp

import tapegrad as tg
from tapegrad.io import CheckpointError, load, load_file, save, save_file
from tapegrad.io.atomic import write_all
from tapegrad.io.header import parse

DTYPES = [
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the examples of a property test."""
    return tmp_path_factory.mktemp("io")


def round_trip(obj: object, folder: Path, **options: Any) -> Any:
    path = folder / "file.ckpt"
    save(obj, path)
    assert os.listdir(folder) == ["file.ckpt"]
    return load(path, **options)


def same(a: Any, b: Any) -> bool:
    """Equal types and bits all the way down; dicts in the same order."""
    if isinstance(a, OrderedDict):
        a = dict(a)
    if isinstance(a, tg.Tensor):
        return isinstance(b, tg.Tensor) and a.requires_grad is b.requires_grad and same(a._array, b._array)
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same, a, b)) and all(map(same, a.values(), b.values()))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def tensor(data: Any, dtype: str = "float32", requires_grad: bool = False) -> tg.Tensor:
    made = tg.from_numpy(np.array(data, dtype))
    return made.requires_grad_() if requires_grad else made


# ---------------------------------------------------------------------------------------------------------------------
# Round trips


@st.composite
def laid_out_arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Arrays of every dtype, zero-size and 0-d included, contiguous, transposed, reversed, strided and expanded."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    array = draw(hnp.arrays(draw(st.sampled_from(DTYPES)), shape))
    layout = draw(st.sampled_from(["as is", "transposed", "reversed", "strided", "expanded", "fortran"]))
    match layout:
        case "transposed":
            array = array.T
        case "reversed":
            array = np.flip(array) if array.ndim else array
        case "strided":
            array = np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
        case "expanded":
            array = np.broadcast_to(array, (3, *shape))
        case "fortran":
            array = np.asfortranarray(array) if array.ndim else array
    return array


keys = st.text(max_size=5) | st.integers()
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True, width=64) | st.text(max_size=8)
nestings = st.recursive(
    scalars | laid_out_arrays(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4).map(OrderedDict)
    ),
    max_leaves=12,
)


@given(nestings)
@example({"__metadata__": np.zeros(1), "": np.zeros(2), "a.b": np.zeros(3), "a": {"b": np.zeros(4)}, "tensor": 0})
@example({1: "int", "1": "str", -1: None, 10**30: [], "\ud800": "\udfff", "\ud800x": np.ones(1)})
@example([float("inf"), float("-inf"), -0.0, 5e-324, 1e308, 1.0, 1, True, 2**64, -(2**200), 10**6000])
@example([struct.unpack("d", struct.pack("Q", bits))[0] for bits in (0x7FF8000000000001, 0xFFF8000000000000)])
@example([[], (), {}, [[]], ((),), [{}], (None,)])
def test_every_nesting_comes_back_bit_for_bit(folder: Path, obj: object) -> None:
    assert same(obj, round_trip(obj, folder))
    assert same(obj, round_trip(obj, folder, verify=False))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (5,), (2, 3)])
def test_dtypes_and_shapes(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    back = round_trip({"x": array}, tmp_path)["x"]
    assert same(array, back)
    assert back.flags.writeable
    assert back.flags.aligned


def test_bfloat16(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1.5, -2.0, np.inf, np.nan, 3e-39]).astype(ml_dtypes.bfloat16)
    assert same([array, array[::-2]], round_trip([array, array[::-2]], tmp_path))
    assert same(tg.from_numpy(array), round_trip(tg.from_numpy(array), tmp_path))


def test_bfloat16_without_ml_dtypes_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = craft(tmp_path, {"x": entry("BF16", [1], 0, 2)}, b"\0\0")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(CheckpointError, match=r"'x'.*ml_dtypes"):
        load(path, foreign=True)


def test_big_endian_and_mapped_arrays_come_back_native(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "raw", np.float32, "w+", shape=(2, 3))
    mapped[:] = [[1, 2, 3], [4, 5, 6]]
    save({"big": np.arange(5, dtype=">f8"), "mapped": mapped}, tmp_path / "x")
    back = load(tmp_path / "x")
    assert same(back, {"big": np.arange(5.0), "mapped": np.array(mapped)})


def test_tensors_keep_requires_grad(tmp_path: Path) -> None:
    obj = {"w": tensor([[1, 2], [3, 4]], requires_grad=True), "n": tensor([1, 2], "int64"), "s": tensor(2.5)}
    back = round_trip(obj, tmp_path)
    assert same(obj, back)
    assert all(type(t) is tg.Tensor for t in back.values())
    assert [t.requires_grad for t in back.values()] == [True, False, False]


def test_what_hangs_on_a_tape_comes_back_as_leaves(tmp_path: Path) -> None:
    class Weight(tg.Tensor):
        pass

    weight = Weight([[1.0, 2.0], [3.0, 4.0]]).requires_grad_()
    product = weight * weight
    product.sum().backward()
    back = round_trip([weight, product, weight.grad, weight.detach(), weight.T], tmp_path)
    assert [type(t) for t in back] == [tg.Tensor] * 5
    assert [t.requires_grad for t in back] == [True, True, False, False, True]
    assert all(t.is_leaf for t in back)
    assert back[0].tolist() == back[3].tolist() == [[1, 2], [3, 4]]
    assert back[1].tolist() == [[1, 4], [9, 16]]
    assert back[4].tolist() == [[1, 3], [2, 4]]
    assert np.shares_memory(back[0]._array, back[3]._array)
    (back[0] * 2).sum().backward()
    assert back[0].grad.tolist() == [[2, 2], [2, 2]]


def test_loaded_memory_is_fresh_and_writable(tmp_path: Path) -> None:
    array = np.arange(4.0)
    back = round_trip([array, tg.from_numpy(array)], tmp_path)
    back[0][:] = 7
    assert array.tolist() == [0, 1, 2, 3]


def test_tied_objects_are_stored_once_and_come_back_tied(tmp_path: Path) -> None:
    weight, array = tensor(np.ones((100, 100)), requires_grad=True), np.arange(10_000.0)
    obj = {"in": weight, "out": [weight, (array,)], "again": array, "equal, not tied": array.copy()}
    back = round_trip(obj, tmp_path)
    assert same(obj, back)
    assert back["in"] is back["out"][0]
    assert back["out"][1][0] is back["again"]
    assert not np.shares_memory(back["equal, not tied"], back["again"])
    stored = safetensors.numpy.load_file(tmp_path / "file.ckpt")
    assert list(stored) == ["out.1.0", "equal, not tied", "in"]


def test_distinct_objects_over_the_same_memory_come_back_sharing_it(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    first, second = tg.from_numpy(array).requires_grad_(), tg.from_numpy(array)
    back = round_trip([first, second, array, array[:], array.T], tmp_path)
    assert same([first, second, array, array, array.T], back)
    assert len({id(item) for item in back}) == 5
    back[2][0, 0] = 42
    assert back[0]._array[0, 0] == back[1]._array[0, 0] == back[3][0, 0] == 42
    assert back[4][0, 0] == 0


def test_tied_complex128(tmp_path: Path) -> None:
    z = np.array(1 + 2j)
    back = round_trip([z, z, z[...]], tmp_path)
    assert same([z, z, z], back)
    assert back[0] is back[1]
    assert np.shares_memory(back[0], back[2])


def test_nesting_to_the_limit_and_beyond(tmp_path: Path) -> None:
    for wrap in (lambda x: [x], lambda x: (x,), lambda x: {"k": x}):
        obj: object = float("nan")
        for _ in range(64):
            obj = wrap(obj)
        assert same(obj, round_trip(obj, tmp_path))
        with pytest.raises(ValueError, match="deeper than 64"):
            save(wrap(obj), tmp_path / "file.ckpt")
        assert same(obj, load(tmp_path / "file.ckpt"))


def test_same_object_gives_the_same_bytes(tmp_path: Path) -> None:
    obj = {"b": np.ones(3, "int8"), "a": np.ones(2), "c": np.ones((), "float32")}
    save(obj, tmp_path / "1")
    save(obj, tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


# ---------------------------------------------------------------------------------------------------------------------
# What cannot be saved


class Point(namedtuple("Point", "x y")):
    pass


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({"optim": [0, 1, 2, {1, 2}]}, r"obj\['optim'\]\[3\]: set "),
        ({3: (object(),)}, r"obj\[3\]\[0\]: object "),
        (b"bytes", r"obj: bytes "),
        ([1j], r"obj\[0\]: complex "),
        ({"p": Point(1, 2)}, r"obj\['p'\]: \w*\.?test_io\.Point .*tuple\(\)"),
        ([np.float64(1)], r"obj\[0\]: numpy\.float64 .*\.item\(\)"),
        ({"a": {(1, 2): 0}}, r"obj\['a'\]: a key is tuple"),
        ({"a": {True: 0}}, r"obj\['a'\]: a key is bool"),
        ({"a": {1.0: 0}}, r"obj\['a'\]: a key is float"),
        ({"a": np.array(["x"])}, r"obj\['a'\]: dtype <U1 "),
        ({"a": np.array([None])}, r"obj\['a'\]: dtype object "),
        ({"a": np.zeros(1, "M8[s]")}, r"obj\['a'\]: dtype datetime64\[s\] "),
        ({"a": np.zeros(1, "f4,i4")}, r"obj\['a'\]: dtype "),
        ({"a": np.zeros(1, "V2")}, r"obj\['a'\]: dtype "),
        ({"a": np.zeros(1, np.longdouble)}, r"obj\['a'\]: dtype (float128|longdouble|float96) "),
        ({"a": np.ma.masked_array([1], [True])}, r"obj\['a'\]: numpy\.ma.*MaskedArray "),
    ],
)
def test_unsupported_objects_are_named_with_their_place(tmp_path: Path, obj: object, message: str) -> None:
    path = tmp_path / "file.ckpt"
    save("old", path)
    with pytest.raises(TypeError, match=message):
        save(obj, path)
    assert load(path) == "old"
    assert os.listdir(tmp_path) == ["file.ckpt"]


def test_an_object_that_contains_itself(tmp_path: Path) -> None:
    loop: dict[str, Any] = {"a": [1]}
    loop["a"].append(loop)
    with pytest.raises(ValueError, match=r"obj\['a'\]\[1\]: it contains itself"):
        save(loop, tmp_path / "x")
    twice = [1]
    assert round_trip([twice, twice], tmp_path) == [[1], [1]]


def test_metadata(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save([1], path, metadata={"format": "pt", "Grüße": "ja\0\n"})
    with safetensors.safe_open(path, "np") as file:
        stored = file.metadata()
    assert stored["format"] == "pt"
    assert stored["Grüße"] == "ja\0\n"
    assert load(path) == [1]
    with pytest.raises(ValueError, match="reserved"):
        save([2], path, metadata={"tapegrad.sha256": "0"})
    with pytest.raises(TypeError, match="str to int"):
        save([2], path, metadata={"epoch": 1})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="surrogates"):
        save([2], path, metadata={"half": "\ud800"})
    assert load(path) == [1]


def test_a_header_no_reader_would_take_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 100000000"):
        save("x" * 100_000_000, tmp_path / "x")
    assert not os.listdir(tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# Other libraries


def test_safetensors_reads_what_we_write(tmp_path: Path) -> None:
    dtypes = [dtype for dtype in DTYPES if dtype != "complex128"]
    arrays: dict[str, Any] = {dtype: (np.arange(6).reshape(2, 3) % 2).astype(dtype).T for dtype in dtypes}
    arrays |= {"empty": np.zeros((0, 3)), "scalar": np.array(3.0), "layer.0.weight": np.ones((2, 2), np.float32)}
    save(arrays, tmp_path / "x")
    stored = safetensors.numpy.load_file(tmp_path / "x")
    assert stored.keys() == arrays.keys()
    assert all(same(arrays[name], stored[name]) for name in arrays)


def test_we_read_what_safetensors_writes(tmp_path: Path) -> None:
    dtypes = [dtype for dtype in DTYPES if dtype not in UNSIGNED_OR_COMPLEX]
    arrays: dict[str, Any] = {dtype: np.arange(6).reshape(2, 3).astype(dtype) for dtype in dtypes}
    arrays |= {"empty": np.zeros((0, 3)), "scalar": np.array(3.0), "a": np.ones(3, "int8")}
    path = tmp_path / "x"
    safetensors.numpy.save_file(arrays, path, metadata={"k": "v"})
    with pytest.raises(CheckpointError, match="foreign=True"):
        load(path)
    with pytest.raises(CheckpointError, match="foreign=True"):
        load(path, verify=False)
    back = load(path, foreign=True)
    assert back.keys() == arrays.keys()
    assert all(same(tg.from_numpy(arrays[name]), back[name]) for name in arrays)


UNSIGNED_OR_COMPLEX = {"uint16", "uint32", "uint64", "complex64", "complex128"}  # not all are dtypes of a Tensor


def test_our_files_read_as_foreign(tmp_path: Path) -> None:
    save({"a": [np.arange(3.0), 5], "t": tensor([1.0], requires_grad=True)}, tmp_path / "x")
    back = load(tmp_path / "x", foreign=True)
    assert same(back["a.0"], tensor([0, 1, 2], "float64"))
    assert same(back["t"], tensor([1.0]))


@pytest.mark.compare
def test_pytorch_reads_and_writes_the_same_files(tmp_path: Path, torch: Any) -> None:
    safetensors_torch = pytest.importorskip("safetensors.torch")
    dtypes = ["bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64"]
    arrays = {dtype: (np.arange(6).reshape(2, 3) % 2).astype(dtype).T for dtype in dtypes}
    arrays.update(empty=np.zeros((0, 3)), scalar=np.array(3.0))
    save(arrays, tmp_path / "ours")
    read = safetensors_torch.load_file(tmp_path / "ours")
    assert read.keys() == arrays.keys()
    assert all(same(np.ascontiguousarray(arrays[k]).reshape(arrays[k].shape), read[k].numpy()) for k in arrays)

    linear = torch.nn.Linear(3, 2)
    state = {**linear.state_dict(), "half": torch.ones(3, dtype=torch.bfloat16)}
    safetensors_torch.save_file(state, tmp_path / "theirs")
    back = load(tmp_path / "theirs", foreign=True)
    assert back.keys() == state.keys()
    assert all(back[k]._array.astype("f4").tolist() == state[k].float().tolist() for k in state)
    assert back["half"]._array.dtype.name == "bfloat16"


# ---------------------------------------------------------------------------------------------------------------------
# Damage


def small_object() -> dict[str | int, Any]:
    return {"w": tensor([[1.5, -2.0]], requires_grad=True), "s": (1, 2.5, None, "é"), 3: np.array([True, False])}


def test_every_changed_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    save(small_object(), path)
    good = path.read_bytes()
    for i in range(len(good)):
        for flip in (0x01, 0x20, 0x80, 0xFF):
            path.write_bytes(good[:i] + bytes([good[i] ^ flip]) + good[i + 1 :])
            with pytest.raises(CheckpointError, match=r"file\.ckpt: "):
                load(path)


def test_every_truncation_and_extension_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    save(small_object(), path)
    good = path.read_bytes()
    for options in ({}, {"verify": False}, {"foreign": True}):
        for content in (*(good[:n] for n in range(len(good))), good + b"\0", good + good):
            path.write_bytes(content)
            with pytest.raises(CheckpointError, match=r"file\.ckpt: "):
                load(path, **options)


def reseal(content: bytes) -> bytes:
    """The file with a digest that matches, as an attacker would make it."""
    at = 8 + len('{"__metadata__":{"tapegrad.sha256":"')
    blank = content[:at] + b"0" * 64 + content[at + 64 :]
    return content[:at] + hashlib.sha256(blank).hexdigest().encode() + content[at + 64 :]


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3))
def test_damage_is_either_refused_or_harmless_without_the_digest(folder: Path, flips: list[tuple[int, int]]) -> None:
    path = folder / "file.ckpt"
    save(small_object(), path)
    content = bytearray(path.read_bytes())
    assert reseal(bytes(content)) == content
    for at, flip in flips:
        content[at % len(content)] ^= flip
    for options, variant in (({"verify": False}, content), ({"foreign": True}, content), ({}, reseal(bytes(content)))):
        path.write_bytes(variant)
        try:
            load(path, **options)
        except CheckpointError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017  (loading may also succeed)


@given(st.binary(max_size=200))
def test_noise_is_refused(folder: Path, noise: bytes) -> None:
    path = folder / "file.ckpt"
    path.write_bytes(noise)
    for options in ({}, {"verify": False}):
        with pytest.raises(CheckpointError):
            load(path, **options)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    save(np.zeros(10), path)

    def cut(*args: Any) -> Any:
        os.truncate(path, path.stat().st_size - 8)
        return parse(*args)

    monkeypatch.setattr("tapegrad.io.serialization.parse", cut)
    with pytest.raises(CheckpointError, match="shorter"):
        load(path)


# ---------------------------------------------------------------------------------------------------------------------
# Hostile files


def entry(dtype: object, shape: object, begin: object, end: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def craft(folder: Path, header: dict[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "hostile.safetensors"
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


@pytest.fixture
def no_allocation(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"allocated for a hostile file: {args}")

    monkeypatch.setattr(np, "empty", refuse)


BIG = 2**62


@pytest.mark.usefixtures("no_allocation")
@pytest.mark.parametrize(
    ("header", "data", "length", "message"),
    [
        (b"{}", b"", 2**64 - 1, "header length 18446744073709551615"),
        (b"{}", b"", 100_000_001, "header length"),
        (b"{}", b"", 3, "header length 3"),
        (b"", b"", 0, "does not begin"),
        (b" {}", b"", None, "does not begin"),
        (b"[]", b"", None, "does not begin"),
        (b"{", b"", None, "not valid JSON"),
        (b"{}x", b"", None, "not valid JSON"),
        (b"{}\0", b"", None, "not valid JSON"),
        (b'{"\xff":1}', b"", None, "not UTF-8"),
        (b'{"\xed\xa0\x80":1}', b"", None, "not UTF-8"),
        (b'{"a":{"dtype":"U8","shape":[],"data_offsets":[0,' + b"9" * 5000 + b"]}}", b"", None, "not valid JSON"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"", None, "nests too deep"),
        (b'{"a":' + b'{"a":' * 1000, b"", None, "nests too deep"),
        (b'{"a":"' + b'\\"' * 100_000, b"", None, "not valid JSON"),
        (b'{"a":1,"a":1}', b"", None, "'a' occurs twice"),
        (b'{"__metadata__":{"k":"v","k":"v"}}', b"", None, "'k' occurs twice"),
        (b'{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}', b"", None, "'dtype' occurs twice"),
        (b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,0]}}', b"", None, "NaN is not a number"),
        ({"__metadata__": {"k": 1}}, b"", None, "strings to strings"),
        ({"__metadata__": []}, b"", None, "strings to strings"),
        ({"a": []}, b"", None, "expected"),
        ({"a": {"dtype": "U8", "shape": [0]}}, b"", None, "expected"),
        ({"a": {**entry("U8", [0], 0, 0), "more": 1}}, b"", None, "expected"),
        ({"a": entry("F7", [0], 0, 0)}, b"", None, "dtype 'F7' is not supported"),
        ({"a": entry(["U8"], [0], 0, 0)}, b"", None, "dtype .* is not supported"),
        ({"a": entry("U8", 3, 0, 3)}, b"123", None, "shape 3"),
        ({"a": entry("U8", [3.0], 0, 3)}, b"123", None, "shape"),
        ({"a": entry("U8", [True], 0, 1)}, b"1", None, "shape"),
        ({"a": entry("U8", [-3, -1], 0, 3)}, b"123", None, "shape"),
        ({"a": entry("U8", [1] * 65, 0, 1)}, b"1", None, "shape"),
        ({"a": entry("U8", [BIG, 4], 0, 0)}, b"", None, "too large"),
        ({"a": entry("U8", [BIG, BIG, BIG, 0], 0, 0)}, b"", None, "too large"),
        ({"a": entry("U8", [2**64], 0, 0)}, b"", None, "shape"),
        ({"a": entry("F64", [2**60], 0, 2**63)}, b"", None, "not a range|too large"),
        ({"a": entry("F32", [2**40], 0, 2**42)}, b"", None, "follow the header"),
        ({"a": entry("F32", [3], 0, 11)}, b"0" * 11, None, "takes 12 bytes"),
        ({"a": entry("U8", [2], -2, 0)}, b"12", None, "not a range"),
        ({"a": entry("U8", [2], 2, 0)}, b"12", None, "not a range"),
        ({"a": entry("U8", [2], 0.0, 2.0)}, b"12", None, "not a range"),
        ({"a": {**entry("U8", [2], 0, 2), "data_offsets": [0, 2, 2]}}, b"12", None, "not a range"),
        ({"a": entry("U8", [2], 1, 3)}, b"123", None, "gap"),
        ({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"123", None, "overlaps"),
        ({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 0, 2)}, b"12", None, "overlaps"),
        ({"a": entry("U8", [2], 0, 2), "b": entry("U8", [1], 3, 4)}, b"1234", None, "gap"),
        ({"a": entry("U8", [2], 0, 2), "b": entry("U8", [0], 1, 1)}, b"12", None, "overlaps|gap"),
        ({"a": entry("U8", [2], 0, 2)}, b"123", None, "follow the header"),
        ({"a": entry("U8", [2], 0, 2)}, b"1", None, "follow the header"),
    ],
)
def test_hostile_headers(tmp_path: Path, header: dict[str, Any] | bytes, data: bytes, length: int | None, message: str) -> None:
    path = craft(tmp_path, header, data, length)
    for options in ({"foreign": True}, {"verify": False}, {}):
        with pytest.raises(CheckpointError, match=rf"hostile\.safetensors: .*({message})"):
            load(path, **options)


def test_a_long_unclosed_string_takes_linear_time(tmp_path: Path) -> None:
    path = craft(tmp_path, b'{"a":"' + b'\\"' * 2_000_000)
    start = time.perf_counter()
    with pytest.raises(CheckpointError):
        load(path, foreign=True)
    assert time.perf_counter() - start < 5


def test_bools_that_are_neither_are_refused(tmp_path: Path) -> None:
    path = craft(tmp_path, {"a": entry("BOOL", [2], 0, 2)}, b"\1\2")
    with pytest.raises(CheckpointError, match="'a': a bool"):
        load(path, foreign=True)


def test_odd_but_valid_foreign_files(tmp_path: Path) -> None:
    table = {"b": entry("U8", [1], 4, 5), "a": entry("F32", [], 0, 4), "z": entry("I64", [2**31, 0], 4, 4)}
    path = craft(tmp_path, json.dumps(table).encode() + b"  ", struct.pack("<fB", 1.5, 7))
    back = load(path, foreign=True)
    assert list(back) == ["b", "a", "z"]
    assert back["a"]._array == 1.5
    assert back["b"]._array.tolist() == [7]
    assert back["z"]._array.shape == (2**31, 0)
    assert load(craft(tmp_path, {}), foreign=True) == {}


REF = {"name": "x"}


@pytest.mark.parametrize(
    ("objects", "root"),
    [
        ([], {"ref": 0}),
        ([REF], {"ref": 1}),
        ([REF], {"ref": -1}),
        ([REF], {"ref": True}),
        ([REF], {"ref": "0"}),
        ([REF], {"ref": 0, "more": 0}),
        ([REF], {"pickle": "gASVAAAA"}),
        ([REF], {}),
        ([], {"tuple": 1}),
        ([], {"float": "nan"}),
        ([], {"int": "0x1"}),
        ([], {"int": "1_0"}),
        ([], {"int": 1}),
        ([], {"dict": {}}),
        ([], {"dict": [["k"]]}),
        ([], {"dict": ["kv"]}),
        ([], {"dict": [["k", 1], ["k", 2]]}),
        ([], {"dict": [[1, 1], [{"int": "1"}, 2]]}),
        ([], {"dict": [[True, 1]]}),
        ([], {"dict": [[1.0, 1]]}),
        ([], {"dict": [[None, 1]]}),
        ([], {"dict": [[[], 1]]}),
        ([], {"dict": [[{"tuple": []}, 1]]}),
        (REF, None),
        (["x"], None),
        ([{}], None),
        ([{"name": "y"}], None),
        ([{"name": ["x"]}], None),
        ([{"name": "x", "requires_grad": 1}], None),
        ([{"name": "x", "requires_grad": True}], None),  # x holds integers
        ([{"name": "x", "dtype": "complex128"}], None),
        ([{"name": "x", "dtype": "object"}], None),
        ([{"name": "x", "class": "os.system"}], None),
    ],
)
def test_hostile_structures_with_a_valid_digest(tmp_path: Path, objects: object, root: object) -> None:
    write_structure(tmp_path / "x", json.dumps({"objects": objects, "root": root}))
    with pytest.raises(CheckpointError, match=r"/x: (the structure|tensor 'x')"):
        load(tmp_path / "x")


@pytest.mark.parametrize(
    "structure",
    ["", "null", "[]", "{}", '{"objects":[]}', '{"objects":[],"root":NaN}', '{"objects":[],"root":1,"root":1}',
     '{"objects":[],"root":' + "[" * 10_000 + "]" * 10_000 + "}", '{"objects":[],"root":' + "9" * 5000 + "}"],
)  # fmt: skip
def test_structures_that_are_not_ours(tmp_path: Path, structure: str) -> None:
    write_structure(tmp_path / "x", structure)
    with pytest.raises(CheckpointError, match=r"/x: the (structure|key 'root')"):
        load(tmp_path / "x")


def write_structure(path: Path, structure: str) -> None:
    """A checkpoint with an int64 tensor ``x`` of shape (2,), this structure, and a digest that matches."""
    metadata = {"tapegrad.sha256": "0" * 64, "tapegrad.structure": structure}
    text = json.dumps({"__metadata__": metadata, "x": entry("I64", [2], 0, 16)}, separators=(",", ":")).encode()
    path.write_bytes(reseal(len(text).to_bytes(8, "little") + text + bytes(16)))


def test_write_structure_makes_valid_files(tmp_path: Path) -> None:
    write_structure(tmp_path / "x", '{"objects":[{"name":"x"}],"root":{"tuple":[{"ref":0},{"int":"-ff"}]}}')
    assert same((np.zeros(2, "int64"), -255), load(tmp_path / "x"))


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (os.environ["BOMB"],)


def test_pickles_are_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    bombs = {f"pickle{n}": pickle.dumps(Bomb(), n) for n in range(6)}
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("archive/data.pkl", bombs["pickle2"])
    np.save(tmp_path / "npy", np.array([Bomb()]), allow_pickle=True)
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
        write_structure(tmp_path / f"inside {name}", json.dumps({"objects": [], "root": {"pickle": content.hex()}}))
    for path in list(tmp_path.iterdir()):
        for options in ({}, {"verify": False}, {"foreign": True} if "inside" not in path.name else {}):
            with pytest.raises(CheckpointError):
                load(path, **options)
    with pytest.raises(CheckpointError, match="zip: it looks like a pickle or a zip of pickles, .* never read: save the state dict with safetensors"):
        load(tmp_path / "zip")
    assert not (tmp_path / "exploded").exists()
    assert all("import pickle" not in source.read_text() for source in Path(tg.io.__file__).parent.glob("*.py"))


def test_what_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        load("/dev/null")


# ---------------------------------------------------------------------------------------------------------------------
# Atomic writes


@contextmanager
def old_stays(path: Path) -> Iterator[None]:
    """Inside, saving over the file fails; afterwards the old one is whole and alone."""
    save("old", path)
    content = path.read_bytes()
    yield
    assert path.read_bytes() == content
    assert load(path) == "old"
    assert os.listdir(path.parent) == [path.name]


def failing(exception: BaseException, real: Callable[..., Any], at: int) -> Callable[..., Any]:
    """``real``, except that call number ``at`` raises."""
    calls = iter(range(1_000_000))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == at:
            raise exception
        return real(*args, **kwargs)

    return call


FAILURES = [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError(), RuntimeError("any")]


@pytest.mark.parametrize("exception", FAILURES, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("write", range(5))  # header, three pieces, digest
def test_a_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exception: BaseException, write: int) -> None:
    path = tmp_path / "file.ckpt"
    with old_stays(path):
        monkeypatch.setattr("tapegrad.io.serialization.write_all", failing(exception, write_all, write))
        with pytest.raises(type(exception)) as info:
            save([np.zeros(1_000_000), np.zeros(3)], path)
        monkeypatch.undo()
        if isinstance(info.value, OSError):
            assert "file.ckpt" in str(info.value)
            assert "tmp" not in str(info.value).replace(str(tmp_path), "")


@pytest.mark.parametrize("exception", FAILURES, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_step_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exception: BaseException, step: str) -> None:
    with old_stays(tmp_path / "file.ckpt"):
        monkeypatch.setattr(os, step, failing(exception, getattr(os, step), 0))
        with pytest.raises(type(exception)):
            save([np.zeros(3)], tmp_path / "file.ckpt")
        monkeypatch.undo()


def test_flushing_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    real = os.fsync

    def fsync(handle: int) -> None:
        flushed.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    save([1], tmp_path / "x")
    assert flushed == ["file", "folder"]
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.EINVAL, "not supported"), real, 1))
    save([2], tmp_path / "x")
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.EIO, "lost"), real, 1))
    with pytest.raises(OSError, match="lost"):
        save([3], tmp_path / "x")
    monkeypatch.undo()
    assert load(tmp_path / "x") == [3]
    assert os.listdir(tmp_path) == ["x"]


def test_no_new_file_appears_when_the_first_save_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(KeyboardInterrupt(), os.fsync, 0))
    with pytest.raises(KeyboardInterrupt):
        save([np.zeros(3)], tmp_path / "x")
    assert os.listdir(tmp_path) == []


def run_child(code: str, *args: object) -> subprocess.Popen[str]:
    source = "import sys, numpy as np\nfrom tapegrad.io import load, save\n" + textwrap.dedent(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([sys.executable, "-c", source, *map(str, args)], stdout=subprocess.PIPE, text=True, env=environment)


def test_a_full_disk(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    assert resource.RLIMIT_FSIZE
    with old_stays(tmp_path / "file.ckpt"):
        child = run_child(
            """
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
            try:
                save(np.zeros(1_000_000), sys.argv[1])
            except OSError as error:
                print(error)
            """,
            tmp_path / "file.ckpt",
        )
        output, _ = child.communicate(timeout=120)
        assert "file.ckpt" in output
        assert child.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_killed_while_saving_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    save([0, np.zeros(500_000)], path)
    child = run_child(
        """
        import os, signal, time

        path, old = sys.argv[1], 0
        begin = time.monotonic()
        save([0, np.zeros(500_000)], path)
        moment = max(0.003, (time.monotonic() - begin) / 4)  # so that some saves are finished on a busy machine, too
        for attempt in range(1, 25):
            receive, send = os.pipe()
            worker = os.fork()
            if worker == 0:
                for step in range(attempt * 10**6, 10**9):
                    save([step, np.full(500_000, float(step))], path)
                    os.write(send, b".")
            time.sleep(moment * attempt)
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
            os.close(send)
            finished = len(os.read(receive, 10**6))
            os.close(receive)
            step, array = load(path)
            assert (array == step).all()
            last = attempt * 10**6 + finished  # it may have been renamed without being reported
            assert step in ({last, last - 1} if finished else {last, old}), (step, last, old)
            old = step
        """,
        path,
    )
    child.communicate(timeout=300)
    assert child.returncode == 0
    assert load(path)[0] > 0
    for left in set(tmp_path.iterdir()) - {path}:
        assert left.name.startswith(".tapegrad-")
        assert left.name.endswith(".tmp")


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """A folder, and no right to ignore permissions even when the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        root = os.geteuid() == 0
        if root:
            os.chmod(name, 0o777)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)
            os.chmod(name, 0o700)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_a_read_only_folder_and_a_read_only_file() -> None:
    with ordinary_user() as folder:
        (folder / "closed").mkdir()
        path = folder / "closed" / "file.ckpt"
        with old_stays(path):
            path.parent.chmod(0o555)
            with pytest.raises(PermissionError, match=r"file\.ckpt"):
                save("new", path)
            with pytest.raises(PermissionError, match="other"):
                save("new", path.with_name("other"))
            path.parent.chmod(0o755)
            path.chmod(0o444)
            with pytest.raises(PermissionError, match=r"file\.ckpt"):
                save("new", path)


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        save([1], tmp_path / "new")
        (tmp_path / "private").touch(0o600)
        save([1], tmp_path / "private")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_links_are_followed_and_special_files_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(Path("sub") / "file")
    save([1], tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load(tmp_path / "sub" / "file") == [1]
    with pytest.raises(IsADirectoryError, match="sub"):
        save([1], tmp_path / "sub")
    with pytest.raises(OSError, match="not a regular file"):
        save([1], "/dev/null")
    with pytest.raises(FileNotFoundError, match="missing"):
        save([1], tmp_path / "missing" / "file")
    assert sorted(os.listdir(tmp_path)) == ["link", "sub"]
    assert os.listdir(tmp_path / "sub") == ["file"]


def test_kinds_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("name", b"bytes", Path("path"), "n" * 255):
        save([1], path)
        assert load(path) == [1]
    with pytest.raises(TypeError, match="must be a path or a binary stream, got int"):
        save([1], 3)  # type: ignore[arg-type]
    assert len(os.listdir()) == 4


def test_streams(tmp_path: Path) -> None:
    obj = {"step": 3, "w": tensor([[1.0, 2.0]], requires_grad=True), "milestones": Counter({5: 1, 9: 2})}
    stream = BytesIO(b"before")
    stream.seek(6)
    save(obj, stream)
    save(obj, tmp_path / "x")
    assert stream.getvalue() == b"before" + (tmp_path / "x").read_bytes()
    stream.seek(6)
    back = load(stream)
    assert same(back["w"], obj["w"])
    assert type(back["milestones"]) is Counter
    assert back["milestones"] == obj["milestones"]
    with open(tmp_path / "x", "rb") as file:
        assert load(file)["step"] == 3
    damaged = bytearray(stream.getvalue()[6:])
    damaged[-1] ^= 1
    with pytest.raises(CheckpointError, match="digest does not match"):
        load(BytesIO(damaged))
    with pytest.raises(CheckpointError, match="7 bytes are too few"):
        load(BytesIO(b"garbage"))
    with pytest.raises(CheckpointError, match=r"nothing is left to read; after writing, call .seek\(0\)"):
        load(stream)


def test_a_stream_that_takes_a_part_at_a_time_gets_all() -> None:
    class Raw(BytesIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data)[:50])

    stream = Raw()
    save({"w": tg.arange(100)}, stream)
    stream.seek(0)
    assert load(stream)["w"].tolist() == list(range(100))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"save\(obj, f\): f must be a path or a binary stream, got dict"):
        save(str(tmp_path / "x"), {"w": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"load\(f\): f must be a path or a binary stream, got dict"):
        load({"w": 1})  # type: ignore[arg-type]
    with open(tmp_path / "x", "w") as text, pytest.raises(TypeError, match="open the file with 'rb' or 'wb'"):
        save(1, text)  # type: ignore[arg-type]


def test_places_to_map_to(tmp_path: Path) -> None:
    save(tensor([1.0]), tmp_path / "x")
    for place in (None, "cpu", tg.device("cpu"), {"cuda:0": "cpu"}, lambda storage, location: storage):
        assert load(tmp_path / "x", map_location=place, weights_only=True, mmap=True).tolist() == [1]
    with pytest.raises(RuntimeError):
        load(tmp_path / "x", map_location="cuda")


def test_plain_safetensors_files(tmp_path: Path) -> None:
    tensors = {"b": tensor([1.0, 2.0]), "a.weight": tensor([[3]], "int64")}
    save_file(tensors, tmp_path / "x", {"format": "pt"})
    assert list(safetensors.numpy.load_file(tmp_path / "x")) == ["a.weight", "b"]
    back = load_file(tmp_path / "x")
    assert {k: v.tolist() for k, v in back.items()} == {"a.weight": [[3]], "b": [1, 2]}
    with pytest.raises(TypeError, match="dict from names to tensors, got int at 'n'"):
        save_file({"n": 1}, tmp_path / "x")  # type: ignore[dict-item]


def test_saving_never_lays_out_an_array_whole(tmp_path: Path) -> None:
    wide = np.broadcast_to(np.float32(2), (16_000, 1000))
    tracemalloc.start()
    save({"expanded": wide, "transposed": np.zeros((2000, 4000), np.float32).T}, tmp_path / "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 48_000_000  # 32 MB are the zeros themselves; the expanded array would be 64 MB
    assert (load(tmp_path / "x")["expanded"] == 2).all()


def test_writes_by_another_thread_do_not_spoil_the_digest(tmp_path: Path) -> None:
    array = np.zeros(2_000_000)
    done = threading.Event()

    def scribble() -> None:
        while not done.is_set():
            array[:] += 1

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for _ in range(5):
            assert round_trip(array, tmp_path).shape == array.shape
    finally:
        done.set()
        thread.join()
