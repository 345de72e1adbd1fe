"""The language of kernels as Numba compiles it for a GPU: what ``twins`` does in Python."""

from __future__ import annotations

import cmath
import math
from typing import Any

from llvmlite import ir

from .toolchain import cgutils, cuda, intrinsic, types

int8, int16, int32, int64 = types.int8, types.int16, types.int32, types.int64
uint8, uint16, uint32, uint64 = types.uint8, types.uint16, types.uint32, types.uint64
float32, float64, complex64, complex128, boolean = types.float32, types.float64, types.complex64, types.complex128, types.boolean


def device(function: Any) -> Any:
    """A function that kernels call; it is inlined."""
    return cuda.jit(device=True, forceinline=True)(function)


def _vector(context: Any, builder: Any, kind: Any, pointer: Any, index: Any, count: int) -> tuple[Any, int]:
    """The address of ``count`` elements as a vector, and its alignment; of a pointer, or of a (shared) array of one dimension."""
    element = kind.dtype
    data = context.get_data_type(element)
    if isinstance(kind, types.Array):
        pointer = context.make_array(kind)(context, builder, pointer).data
    place = builder.gep(pointer, [index])
    return builder.bitcast(place, ir.VectorType(data, count).as_pointer()), count * element.bitwidth // 8


def _load(count: int) -> Any:
    @intrinsic
    def load(typing_context, pointer, index):  # type: ignore[no-untyped-def]
        element = pointer.dtype

        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            place, size = _vector(context, builder, pointer, args[0], args[1], count)
            value = builder.load(place, align=size)
            parts = [builder.extract_element(value, ir.Constant(ir.IntType(32), k)) for k in range(count)]
            return cgutils.pack_array(builder, parts)

        return types.UniTuple(element, count)(pointer, index), generate

    return load


def _store(count: int) -> Any:
    @intrinsic
    def store(typing_context, pointer, index, values):  # type: ignore[no-untyped-def]
        element = pointer.dtype

        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            place, size = _vector(context, builder, pointer, args[0], args[1], count)
            vector = ir.Constant(ir.VectorType(context.get_data_type(element), count), ir.Undefined)
            for k in range(count):
                vector = builder.insert_element(vector, builder.extract_value(args[2], k), ir.Constant(ir.IntType(32), k))
            builder.store(vector, place, align=size)
            return context.get_dummy_value()

        return types.void(pointer, index, values), generate

    return store


load2, load4, load8, load16 = (_load(n) for n in (2, 4, 8, 16))
store2, store4, store8, store16 = (_store(n) for n in (2, 4, 8, 16))


def _pointer(element: Any) -> Any:
    @intrinsic
    def pointer(typing_context, address):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            data = context.get_data_type(element)
            return builder.addrspacecast(builder.inttoptr(args[0], ir.PointerType(data, 1)), ir.PointerType(data))  # 1: global memory

        return types.CPointer(element)(int64), generate

    return pointer


pointer_to_float32, pointer_to_float64 = _pointer(float32), _pointer(float64)


def _bits(source: Any, target: Any) -> Any:
    @intrinsic
    def bits(typing_context, x):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.bitcast(args[0], context.get_value_type(target))

        return target(source), generate

    return bits


bits_of_float32, float32_of_bits = _bits(float32, uint32), _bits(uint32, float32)
bits_of_float64 = _bits(float64, uint64)


@intrinsic  # type: ignore[untyped-decorator]
def half_to_float(typing_context, bits):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        function = ir.FunctionType(ir.FloatType(), [ir.IntType(16)])
        return builder.call(ir.InlineAsm(function, "cvt.f32.f16 $0, $1;", "=f,h", side_effect=False), args)

    return float32(uint16), generate


@intrinsic  # type: ignore[untyped-decorator]
def float_to_half(typing_context, x):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        function = ir.FunctionType(ir.IntType(16), [ir.FloatType()])
        return builder.call(ir.InlineAsm(function, "cvt.rn.f16.f32 $0, $1;", "=h,f", side_effect=False), args)

    return uint16(float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def float_to_bfloat16(typing_context, x):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        function = ir.FunctionType(ir.IntType(16), [ir.FloatType()])
        return builder.call(ir.InlineAsm(function, "cvt.rn.bf16.f32 $0, $1;", "=h,f", side_effect=False), args)

    return uint16(float32), generate


@device  # type: ignore[untyped-decorator]
def bfloat16_to_float(bits):  # type: ignore[no-untyped-def]
    return float32_of_bits(uint32(bits) << uint32(16))


@intrinsic  # type: ignore[untyped-decorator]
def quotient(typing_context, a, b):  # type: ignore[no-untyped-def]
    kind = int64 if int64 in (a, b) else int32

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.udiv(*args)

    return kind(kind, kind), generate


@device  # type: ignore[untyped-decorator]
def popcount(bits):  # type: ignore[no-untyped-def]
    return int32(cuda.popc(bits))


def _atomic(of_integers: str, of_unsigned: str, of_floats: str) -> Any:
    @intrinsic
    def atomic(typing_context, pointer, index, value):  # type: ignore[no-untyped-def]
        element = pointer.dtype

        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            operation = of_floats if isinstance(element, types.Float) else of_integers if element.signed else of_unsigned
            return builder.atomic_rmw(operation, builder.gep(args[0], [args[1]]), args[2], "monotonic")

        if isinstance(element, types.Float) and not of_floats:
            return None
        return element(pointer, index, element), generate

    return atomic


atomic_add, atomic_max, atomic_min = _atomic("add", "add", "fadd"), _atomic("max", "umax", ""), _atomic("min", "umin", "")


@intrinsic  # type: ignore[untyped-decorator]
def atomic_cas(typing_context, pointer, index, old, value):  # type: ignore[no-untyped-def]
    element = pointer.dtype

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        found = builder.cmpxchg(builder.gep(args[0], [args[1]]), args[2], args[3], "monotonic", "monotonic")
        return builder.extract_value(found, 0)

    return element(pointer, index, element, element), generate


# ------------------------------------------------------------------------------------------------------------- tensor cores
_I32, _F32 = ir.IntType(32), ir.FloatType()


def _mma(shape: str, kind: str) -> Any:
    """D = A B + C of a warp, of which every thread has fragments, laid out as the PTX ISA says of this instruction."""
    text = f"mma.sync.aligned.{shape}.row.col.f32.{kind}.{kind}.f32 {{$0,$1,$2,$3}}, {{$4,$5,$6,$7}}, {{$8,$9}}, {{$10,$11,$12,$13}};"

    @intrinsic
    def mma(typing_context, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            function = ir.FunctionType(ir.LiteralStructType([_F32] * 4), [_I32] * 6 + [_F32] * 4)
            found = builder.call(ir.InlineAsm(function, text, "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", side_effect=True), args)
            return cgutils.pack_array(builder, [builder.extract_value(found, k) for k in range(4)])

        return types.UniTuple(float32, 4)(*[uint32] * 6, *[float32] * 4), generate

    return mma


mma_16816_float16, mma_16816_bfloat16 = _mma("m16n8k16", "f16"), _mma("m16n8k16", "bf16")
mma_1688_tf32 = _mma("m16n8k8", "tf32")


def _shared_address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """The 32-bit address of an element of a shared array; computed in 32 bits, so that constants stay apart."""
    data = context.make_array(kind)(context, builder, array).data
    start = builder.ptrtoint(builder.addrspacecast(data, ir.PointerType(context.get_data_type(kind.dtype), 3)), _I32)
    if index.type != _I32:
        index = builder.trunc(index, _I32)
    return builder.add(start, builder.mul(index, ir.Constant(_I32, kind.dtype.bitwidth // 8)))


def _load_matrices(transposed: str) -> Any:
    text = f"ldmatrix.sync.aligned.m8n8.x4{transposed}.shared.b16 {{$0,$1,$2,$3}}, [$4];"

    @intrinsic
    def load_matrices(typing_context, array, index):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            function = ir.FunctionType(ir.LiteralStructType([_I32] * 4), [_I32])
            at = _shared_address(context, builder, array, *args)
            found = builder.call(ir.InlineAsm(function, text, "=r,=r,=r,=r,r,~{memory}", side_effect=True), [at])
            return cgutils.pack_array(builder, [builder.extract_value(found, k) for k in range(4)])

        return types.UniTuple(uint32, 4)(array, index), generate

    return load_matrices


load_matrices, load_matrices_transposed = _load_matrices(""), _load_matrices(".trans")


@intrinsic  # type: ignore[untyped-decorator]
def copy_async(typing_context, array, index, pointer, at, count):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        element = pointer.dtype
        target = _shared_address(context, builder, array, args[0], args[1])
        place = builder.gep(args[2], [args[3]])
        source = builder.ptrtoint(builder.addrspacecast(place, ir.PointerType(context.get_data_type(element), 1)), ir.IntType(64))
        size = builder.mul(args[4], ir.Constant(_I32, element.bitwidth // 8))
        function = ir.FunctionType(ir.VoidType(), [_I32, ir.IntType(64), _I32])
        text = "cp.async.cg.shared.global [$0], [$1], 16, $2;"
        builder.call(ir.InlineAsm(function, text, "r,l,r,~{memory}", side_effect=True), [target, source, size])
        return context.get_dummy_value()

    return types.void(array, index, pointer, at, int32), generate


def _order(text: str) -> Any:
    @intrinsic
    def order(typing_context):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            builder.call(ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), text, "~{memory}", side_effect=True), [])
            return context.get_dummy_value()

        return types.void(), generate

    return order


commit_copies = _order("cp.async.commit_group;")
wait_copies, wait_copies_but_1 = _order("cp.async.wait_group 0;"), _order("cp.async.wait_group 1;")


@intrinsic  # type: ignore[untyped-decorator]
def round_tf32(typing_context, bits):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.call(ir.InlineAsm(ir.FunctionType(_I32, [_I32]), "cvt.rna.tf32.f32 $0, $1;", "=r,r", side_effect=False), args)

    return uint32(uint32), generate


def _pair(kind: str) -> Any:
    @intrinsic
    def pair(typing_context, low, high):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            function = ir.FunctionType(_I32, [_F32, _F32])
            return builder.call(ir.InlineAsm(function, f"cvt.rn.{kind}.f32 $0, $1, $2;", "=r,f,f", side_effect=False), [args[1], args[0]])

        return uint32(float32, float32), generate

    return pair


pair_of_float16, pair_of_bfloat16 = _pair("f16x2"), _pair("bf16x2")


@intrinsic  # type: ignore[untyped-decorator]
def store_quad(typing_context, array, index, values):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = _shared_address(context, builder, array, args[0], args[1])
        vector = ir.Constant(ir.VectorType(_I32, 4), ir.Undefined)
        for k in range(4):
            vector = builder.insert_element(vector, builder.extract_value(args[2], k), ir.Constant(_I32, k))
        builder.store(vector, builder.inttoptr(place, ir.PointerType(ir.VectorType(_I32, 4), 3)), align=16)
        return context.get_dummy_value()

    return types.void(array, index, types.UniTuple(uint32, 4)), generate


INF, NAN = math.inf, math.nan
exp, expm1, log, log2, log10, log1p, sqrt = math.exp, math.expm1, math.log, math.log2, math.log10, math.log1p, math.sqrt
sin, cos, tan, asin, acos, atan, atan2, hypot = math.sin, math.cos, math.tan, math.asin, math.acos, math.atan, math.atan2, math.hypot
sinh, cosh, tanh, asinh, acosh, atanh = math.sinh, math.cosh, math.tanh, math.asinh, math.acosh, math.atanh
copysign, fmod, erf, erfc, lgamma = math.copysign, math.fmod, math.erf, math.erfc, math.lgamma


def _libdevice(name: str, operands: int = 1) -> Any:
    """A function of NVIDIA's libdevice, in the precision of its arguments."""

    def made(typing_context, *arguments):  # type: ignore[no-untyped-def]
        kind = float64 if float64 in arguments else float32

        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            data = context.get_value_type(kind)
            symbol = f"__nv_{name}" + ("f" if kind == float32 else "")
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(data, [data] * operands), symbol)
            return builder.call(function, args)

        return kind(*[kind] * operands), generate

    if operands == 1:
        return intrinsic(lambda typing_context, x: made(typing_context, x))  # type: ignore[no-untyped-call]
    return intrinsic(lambda typing_context, a, b: made(typing_context, a, b))  # type: ignore[no-untyped-call]


floor, ceil, trunc, rint, exp2 = (_libdevice(name) for name in ("floor", "ceil", "trunc", "rint", "exp2"))
erfcx, erfinv, normcdf, normcdfinv, sinpi, cospi = (_libdevice(name) for name in ("erfcx", "erfinv", "normcdf", "normcdfinv", "sinpi", "cospi"))
pow = _libdevice("pow", 2)
rounded_product = cuda.libdevice.dmul_rn  # of doubles: never part of a fused multiply-add
of_complex = cmath


__all__ = [
    name for name in dir()
    if not name.startswith("_") and name not in ("Any", "annotations", "cgutils", "cmath", "intrinsic", "ir", "math", "types")
]  # fmt: skip
