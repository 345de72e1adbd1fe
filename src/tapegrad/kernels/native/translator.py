"""From Python to LLVM in one pass: functions whose values have simple types, written down as LLVM's instructions as they are read.

A variable has the type of what it is assigned first. Names of the module and of enclosing functions are constants: of an ``if`` about
those, only one side is translated. The functions called, plain ones or those compiled with Numba's ``njit``, become part of the caller;
Numba's intrinsics and the operations of ``words`` write their own instructions.

The meaning is Numba's with ``error_model="numpy"``, but that nothing may be divided by an integer 0. Known are assignments, ``if``,
``while``, ``for`` over ranges and tuples, ``return``, arithmetic and comparisons of int64, float32 and float64, numbers made of others by
a type of Numba's, elements behind typed pointers, ``min``, ``max`` and ``abs`` of integers; anything else raises NotImplementedError. A
step of a range that is no constant has to be positive.
"""

from __future__ import annotations

import ast
import builtins
import collections
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.extending import _Intrinsic

from .translator_values import I64, Place, Value, Values
from .words import Word


class _Scope:
    """A function that is being translated."""

    def __init__(self, function: Any, end: Any) -> None:
        self.file = function.__code__.co_filename
        outer = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        self.outside = {**vars(builtins), **function.__globals__, **{name: cell.cell_contents for name, cell in outer.items()}}
        self.names: dict[str, Any] = {}
        self.end = end
        self.results: Any = None  # variables that returned values are kept in
        self.loops: list[tuple[Any, Any]] = []  # where ``continue`` and ``break`` lead


@functools.cache
def _definitions(file: str) -> dict[tuple[str, int], ast.FunctionDef | ast.Lambda]:
    """The functions of a file by name and first line, which is that of a decorator where there is one; lambdas that are alone in a line."""
    found: dict[tuple[str, int], ast.FunctionDef | ast.Lambda] = {}
    lambdas: collections.Counter[int] = collections.Counter()
    for node in ast.walk(ast.parse(Path(file).read_text("utf8"))):
        if isinstance(node, ast.FunctionDef):
            found[node.name, min([node.lineno, *[d.lineno for d in node.decorator_list]])] = node
        elif isinstance(node, ast.Lambda):
            found["<lambda>", node.lineno] = node
            lambdas[node.lineno] += 1
    return {(name, line): node for (name, line), node in found.items() if lambdas[line] < 2 or name != "<lambda>"}


def _pure(*nodes: ast.AST) -> bool:
    """Whether expressions may be evaluated even where their values are not used: they neither read memory nor divide by what may be 0."""
    return not any(isinstance(part, (ast.Call, ast.Subscript, ast.FloorDiv, ast.Mod)) for node in nodes for part in ast.walk(node))


class Translator(Values):
    """Writes functions into the one that ``builder`` builds."""

    def __init__(self, context: Any, builder: Any, typing: Any) -> None:
        super().__init__(context, builder)
        self.typing = typing
        self.scope: _Scope = None  # type: ignore[assignment]

    def call(self, function: Any, args: Sequence[Any]) -> Any:
        """Write a call of a Python function; what it returns."""
        code = function.__code__
        definition = _definitions(code.co_filename).get((code.co_name, code.co_firstlineno))
        if definition is None:
            raise NotImplementedError(f"{code.co_name}: one of several lambdas in a line")
        caller, self.scope = self.scope, _Scope(function, self.builder.append_basic_block("returned"))
        assigned = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        for argument, value in zip(definition.args.args, args, strict=True):
            if argument.arg in assigned:
                self.assign(argument.arg, value)
            else:
                self.scope.names[argument.arg] = value
        if isinstance(definition, ast.Lambda):
            self.of(ast.copy_location(ast.Return(definition.body), definition))
        else:
            self.run(definition.body)
        self.go(self.scope.end)
        self.builder.position_at_end(self.scope.end)
        results = self.scope.results
        self.scope = caller
        if type(results) is tuple:
            return tuple(self.read(place) for place in results)
        return None if results is None else self.read(results)

    def assign(self, name: str, x: Any) -> None:
        place = self.scope.names.get(name)
        if isinstance(place, Place):
            self.write(place, x)
        else:
            self.scope.names[name] = self.new(x)

    # --------------------------------------------------------------------------------------------------- statements

    def block(self, name: str) -> Any:
        return self.builder.append_basic_block(name)

    def go(self, block: Any) -> None:
        if not self.builder.block.is_terminated:
            self.builder.branch(block)

    def run(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if not self.builder.block.is_terminated:
                self.of(statement)

    def of(self, node: ast.AST) -> Any:
        """Translate a node: the value of an expression, None for a statement."""
        method = getattr(self, f"of_{type(node).__name__}", None)
        try:
            if method is None:
                raise NotImplementedError(type(node).__name__)
            return method(node)
        except NotImplementedError as error:
            if isinstance(node, ast.stmt) and not hasattr(error, "__notes__"):
                error.add_note(f"this is not part of what native code is written in: {ast.unparse(node)!r}, {self.scope.file}, line {node.lineno}")
            raise

    def of_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # but for a docstring
            self.of(node.value)

    def of_Assign(self, node: ast.Assign) -> None:
        value = self.of(node.value)
        for target in node.targets:
            self.put(target, value)

    def put(self, target: ast.expr, x: Any) -> None:
        if isinstance(target, ast.Tuple):
            for part, value in zip(target.elts, x, strict=True):
                self.put(part, value)
        elif isinstance(target, ast.Name):
            self.assign(target.id, x)
        else:
            kind, pointer = self.element(target)
            self.builder.store(self.cast(x, kind), pointer)

    def of_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            before = self.of(ast.Name(node.target.id, ast.Load()))
            self.assign(node.target.id, self.binary(type(node.op), before, self.of(node.value)))
        else:
            kind, pointer = self.element(node.target)
            total = self.binary(type(node.op), Value(kind, self.builder.load(pointer)), self.of(node.value))
            self.builder.store(self.cast(total, kind), pointer)

    def of_If(self, node: ast.If) -> None:
        self.fork(self.of(node.test), lambda: self.run(node.body), lambda: self.run(node.orelse))

    def fork(self, test: Any, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        if not isinstance(test, Value):
            (then if test else otherwise)()
            return
        yes, no, done = self.block("then"), self.block("else"), self.block("done")
        self.builder.cbranch(self.truth(test), yes, no)
        for block, side in ((yes, then), (no, otherwise)):
            self.builder.position_at_end(block)
            side()
            self.go(done)
        self.builder.position_at_end(done)

    def of_While(self, node: ast.While) -> None:
        if node.orelse:
            raise NotImplementedError("else of a loop")
        head, body, done = self.block("while"), self.block("body"), self.block("done")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(self.truth(self.as_value(self.of(node.test))), body, done)
        self.loop(node.body, body, head, done)

    def loop(self, statements: Sequence[ast.stmt], body: Any, following: Any, done: Any) -> None:
        self.builder.position_at_end(body)
        self.scope.loops.append((following, done))
        self.run(statements)
        self.scope.loops.pop()
        self.go(following)
        self.builder.position_at_end(done)

    def of_For(self, node: ast.For) -> None:
        if node.orelse:
            raise NotImplementedError("else of a loop")
        if isinstance(node.iter, ast.Tuple):
            self.unrolled(node, self.of(node.iter))
            return
        if not (isinstance(node.iter, ast.Call) and self.of(node.iter.func) is range and isinstance(node.target, ast.Name)):
            raise NotImplementedError("a loop over something else than a range or a tuple")
        bounds = [self.of(bound) for bound in node.iter.args]
        start, stop, step = [0, *bounds, 1] if len(bounds) == 1 else [*bounds, 1][:3]
        begin, end, stride = (self.cast(x, I64) for x in (start, stop, step))
        before, head, body, following, done = self.builder.block, *(self.block(name) for name in ("for", "body", "next", "done"))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        index = self.builder.phi(ir.IntType(64))
        index.add_incoming(begin, before)
        up = isinstance(step, Value) or step > 0
        self.builder.cbranch(self.builder.icmp_signed("<" if up else ">", index, end), body, done)
        self.builder.position_at_end(following)
        index.add_incoming(self.builder.add(index, stride), following)
        self.builder.branch(head)
        self.builder.position_at_end(body)
        self.assign(node.target.id, Value(I64, index))
        self.loop(node.body, self.builder.block, following, done)

    def unrolled(self, node: ast.For, items: tuple[Any, ...]) -> None:
        """One copy of a loop's body for each item."""
        done = self.block("done")
        for item in items:
            self.put(node.target, item)
            following = self.block("next")
            self.loop(node.body, self.builder.block, following, done)
            self.builder.position_at_end(following)
        self.go(done)
        self.builder.position_at_end(done)

    def of_Pass(self, node: ast.Pass) -> None:
        pass

    def of_Break(self, node: ast.Break) -> None:
        self.builder.branch(self.scope.loops[-1][1])

    def of_Continue(self, node: ast.Continue) -> None:
        self.builder.branch(self.scope.loops[-1][0])

    def of_Return(self, node: ast.Return) -> None:
        value = None if node.value is None else self.of(node.value)
        if value is not None and self.scope.results is None:
            self.scope.results = tuple(map(self.new, value)) if type(value) is tuple else self.new(value)
        elif type(value) is tuple:
            for place, part in zip(self.scope.results, value, strict=True):
                self.write(place, part)
        elif value is not None:
            self.write(self.scope.results, value)
        self.builder.branch(self.scope.end)

    # -------------------------------------------------------------------------------------------------- expressions

    def of_Constant(self, node: ast.Constant) -> Any:
        return node.value

    def of_Name(self, node: ast.Name) -> Any:
        if node.id not in self.scope.names:
            if node.id not in self.scope.outside:
                raise NotImplementedError(f"an unknown name, {node.id!r}")
            return self.scope.outside[node.id]
        found = self.scope.names[node.id]
        return self.read(found) if isinstance(found, Place) else found

    def of_Attribute(self, node: ast.Attribute) -> Any:
        return getattr(self.of(node.value), node.attr)

    def of_Tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple([self.of(part) for part in node.elts])

    def of_Subscript(self, node: ast.Subscript) -> Any:
        holder = self.of(node.value)
        if not isinstance(holder, Value):
            return holder[self.of(node.slice)]
        kind, pointer = self.element(node, holder)
        return Value(kind, self.builder.load(pointer))

    def element(self, node: Any, holder: Any = None) -> tuple[Any, Any]:
        """The type and LLVM's pointer of an element."""
        kind, pointer = holder or self.of(node.value)
        return kind.dtype, self.builder.gep(pointer, [self.cast(self.of(node.slice), I64)])

    def of_UnaryOp(self, node: ast.UnaryOp) -> Any:
        x = self.of(node.operand)
        if isinstance(node.op, ast.Not):
            return Value(types.boolean, self.builder.not_(self.truth(x))) if isinstance(x, Value) else not x
        if isinstance(node.op, ast.Invert):
            return self.binary(ast.BitXor, x, -1)
        if isinstance(node.op, ast.UAdd):
            return x
        if not isinstance(x, Value):
            return -x
        if isinstance(x.type, types.Float):
            return Value(x.type, self.builder.fneg(x.ir))
        return self.binary(ast.Sub, 0, x)

    def of_BinOp(self, node: ast.BinOp) -> Any:
        return self.binary(type(node.op), self.of(node.left), self.of(node.right))

    def of_Compare(self, node: ast.Compare) -> Any:
        result: Any = True
        left = self.of(node.left)
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.of(comparator)
            result = self.both(result, self.compared(type(op), left, right))
            left = right
        return result

    def of_BoolOp(self, node: ast.BoolOp) -> Any:
        """As a condition, not as one of its operands."""
        first, *others = node.values
        result, is_and = self.of(first), isinstance(node.op, ast.And)
        for other in others:
            if not isinstance(result, Value):
                if bool(result) is not is_and:
                    return result
                result = self.of(other)
                continue
            rest, decided = functools.partial(self.condition, other), functools.partial(Value, types.boolean, ir.IntType(1)(int(not is_and)))
            then, otherwise = (rest, decided) if is_and else (decided, rest)
            result = self.chosen(self.as_bit(result), then, otherwise, pure=_pure(other))
        return result

    def condition(self, node: ast.expr) -> Any:
        return self.as_bit(self.of(node))

    def of_IfExp(self, node: ast.IfExp) -> Any:
        return self.chosen(self.of(node.test), lambda: self.of(node.body), lambda: self.of(node.orelse), pure=_pure(node.body, node.orelse))

    def chosen(self, test: Any, then: Callable[[], Any], otherwise: Callable[[], Any], pure: bool) -> Any:
        if not isinstance(test, Value):
            return then() if test else otherwise()
        if pure:
            bit, x, y = self.truth(test), then(), otherwise()
            if type(x) is tuple:
                return tuple([self.selected(bit, *pair) for pair in zip(x, y, strict=True)])
            return self.selected(bit, x, y)
        place: list[Place] = []

        def keep(side: Callable[[], Any]) -> None:
            x = side()
            if place:
                self.write(place[0], x)
            else:
                place.append(self.new(x))

        self.fork(test, lambda: keep(then), lambda: keep(otherwise))
        return self.read(place[0])

    def of_Call(self, node: ast.Call) -> Any:
        function, args = self.of(node.func), list[Any]()
        for arg in node.args:
            args += self.of(arg.value) if isinstance(arg, ast.Starred) else [self.of(arg)]
        if function is abs:
            return self.extreme(max, args[0], self.binary(ast.Sub, 0, args[0]))
        if function in (min, max):
            return functools.reduce(functools.partial(self.extreme, function), args)
        if isinstance(function, types.Number):
            return Value(function, self.cast(args[0], function))
        if isinstance(function, Word):
            return self.word(function, args)
        if isinstance(function, _Intrinsic):
            return self.intrinsic(function, args)
        function = getattr(function, "py_func", function)
        if isinstance(function, FunctionType):
            return self.call(function, args)
        raise NotImplementedError(f"a call of {function!r}")

    def word(self, operation: Word, args: list[Any]) -> Any:
        result = operation.emit(self.builder, *(self.cast(x, I64) for x in args))
        kinds = {ir.IntType(64): I64, ir.IntType(1): types.boolean}
        return Value(kinds[result.type], result) if result.type in kinds else None

    def intrinsic(self, function: Any, args: list[Any]) -> Any:
        literal = function._prefer_literal
        kinds = [types.literal(x) if literal and isinstance(x, int) else I64 if isinstance(x, int) else self.as_value(x).type for x in args]
        signature, generate = function._defn(self.typing, *kinds)
        values = [self.cast(x, types.unliteral(kind)) for x, kind in zip(args, signature.args, strict=True)]
        result = generate(self.context, self.builder, signature, values)
        return None if signature.return_type == types.void else Value(signature.return_type, result)
