"""Indexing on the GPU at sizes that samples of ops don't have: against NumPy, or the same on the CPU."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels import cpu, cuda as kernels
from tapegrad.kernels.cuda.context import context
from tapegrad.kernels.cuda.drivers import ON_CPU
from tapegrad.kernels.cuda.index.combine import FEW, PIECE
from tapegrad.kernels.cuda.index.order import in_order
from tapegrad.kernels.cuda.language import SIMULATED
from tapegrad.nn import functional as F

SIZE = 700 if SIMULATED else 20_000 if ON_CPU else 700_000
NARROW = {"float16": np.float16, "bfloat16": tg.bfloat16.numpy}


def sent(array: Any) -> Any:
    return kernels.to_device(np.asarray(array))


def host(array: Any) -> Any:
    return kernels.to_host(array)


@pytest.mark.parametrize("most", [1, 15, 300, 70_000, 2**40])
def test_rows_are_sorted_and_equal_ones_keep_their_order(most: int) -> None:
    rows = np.random.default_rng(most).integers(0, most + 1, SIZE)
    keys, places = in_order(sent(rows), most)
    order = np.argsort(rows, kind="stable")
    np.testing.assert_array_equal(host(places), order)
    np.testing.assert_array_equal(host(keys), rows[order])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_nonzero_finds_all_in_order(share: float) -> None:
    mask = np.random.default_rng(0).random((SIZE // 7, 7)) < share
    np.testing.assert_array_equal(host(kernels.nonzero(sent(mask))), np.argwhere(mask))
    assert kernels.true_count(sent(mask)) == mask.sum()


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 5 * PIECE, SIZE])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_sums_of_repeated_rows(count: int, rows: int) -> None:
    """Runs within a piece, over its border, over many pieces."""
    rng = np.random.default_rng(count)
    index, values = rng.integers(0, rows, count), rng.integers(-8, 9, (count, 2)).astype(np.float32)
    expected = np.zeros((rows, 2), np.float32)
    np.add.at(expected, index, values)
    np.testing.assert_array_equal(host(kernels.scatter_rows(sent(values), sent(index), (rows, 2), None)), expected)
    expected[0] = 0
    np.testing.assert_array_equal(host(kernels.scatter_rows(sent(values), sent(index), (rows, 2), 0)), expected)


@pytest.mark.parametrize("how", ["prod", "amax", "amin"])
def test_combinations_of_repeated_rows(how: str) -> None:
    rng = np.random.default_rng(0)
    index, values, x = rng.integers(0, 5, 50), rng.choice([0.5, 1.0, 2.0, -1.0], (2, 50, 3)), np.ones((2, 5, 3))
    values[1, 7, 1] = np.nan
    made = host(kernels.combine_at(sent(x), (slice(None), sent(index)), sent(values), how))
    np.testing.assert_array_equal(made, cpu.combine_at(x, (slice(None), index), values, how))


@pytest.mark.parametrize("name", NARROW)
def test_sums_of_16_bits_are_rounded_once(name: str) -> None:
    ones = np.full((SIZE, 1), 0.25).astype(NARROW[name])
    index = np.zeros(SIZE, np.int64)
    made = host(kernels.scatter_rows(sent(ones), sent(index), (2, 1), None)).astype(np.float64)
    assert made[0, 0] == np.float64(np.asarray(SIZE * 0.25).astype(NARROW[name]))
    assert made[1, 0] == 0


@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "float32", "int64", "complex64", "complex128"])
@pytest.mark.parametrize("width", [1, 3, 8])
def test_rows_of_any_width_are_picked_and_written(dtype: str, width: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 100, (40, width)).astype(dtype)
    index = rng.integers(-40, 40, 90)
    np.testing.assert_array_equal(host(kernels.pick(sent(x), (sent(index),))), x[index])
    np.testing.assert_array_equal(host(kernels.take(sent(x), sent(index % 40), 0)), x[index % 40])
    values = rng.integers(0, 100, (90, width)).astype(dtype)
    np.testing.assert_array_equal(host(kernels.put(sent(x), (sent(index),), sent(values))), cpu.put(x, (index,), values))
    np.testing.assert_array_equal(host(kernels.put(sent(x), (sent(index),), 1)), cpu.put(x, (index,), 1))


A, B, C = np.array([[0, 2], [1, -1]]), np.array([1, 0]), np.random.default_rng(0).random((3, 4)) < 0.5
INDICES = [
    (A,), (slice(None), A), (slice(None), slice(1, 3), B), (A, B), (A, slice(None), B), (slice(None), A, B), (None, A, Ellipsis, B),
    (slice(None, None, 2), slice(None), B), (C,), (C[:, 0], slice(None), B[:1]), (slice(None), C[0]), (True, B), (B, None, slice(1, 2)), (np.array(True),),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(INDICES)))
@pytest.mark.parametrize("transposed", [False, True])
def test_indices_mean_what_they_do_in_numpy(number: int, transposed: bool) -> None:
    x = np.arange(3.0 * 4 * 5).reshape(3, 4, 5)
    index = INDICES[number]
    on_device = tuple(sent(p) if isinstance(p, np.ndarray) else p for p in index)
    given = sent(x.transpose(2, 0, 1)).transpose(1, 2, 0) if transposed else sent(x)
    picked = x[index]
    np.testing.assert_array_equal(host(kernels.pick(given, on_device)), picked)
    np.testing.assert_array_equal(host(kernels.pick(given, index)), picked)
    values = -np.arange(1.0, picked.size + 1).reshape(picked.shape)
    np.testing.assert_array_equal(host(kernels.put(given, on_device, sent(values))), cpu.put(x, index, values))
    np.testing.assert_array_equal(host(kernels.add_at(given, on_device, sent(values))), cpu.add_at(x, index, values))
    np.testing.assert_array_equal(host(kernels.count_at(x.shape, on_device, 1)), cpu.count_at(x.shape, index, 1))
    last, expected = kernels.last_written(x, on_device), cpu.last_written(x, index)
    found = np.ones(picked.shape, bool) if last is None else np.broadcast_to(host(last), picked.shape)
    np.testing.assert_array_equal(found, np.ones(picked.shape, bool) if expected is None else expected)


@pytest.mark.parametrize(("shape", "dim"), [((2, 4, 6), 1), ((3, 7, 6), 1), ((3, 50, 2), 1), ((30, 4, 6), 0), ((3, 4, 40), -1), ((3, 4, 1), 2)])
def test_gather_and_scatter(shape: tuple[int, ...], dim: int) -> None:
    """Indices as large as the input elsewhere, or smaller; few or many in a line."""
    rng = np.random.default_rng(0)
    x, index = rng.integers(0, 9, (3, 4, 6)).astype(np.float64), rng.integers(0, (3, 4, 6)[dim], shape)
    src = rng.integers(1, 9, shape).astype(np.float64)
    a, i, s = (tg.tensor(v) for v in (x, index, src))
    b, j, t = (v.cuda() for v in (a, i, s))
    for call in (
        lambda x, i, s: x.gather(dim, i),
        lambda x, i, s: x.scatter(dim, i, s),
        lambda x, i, s: x.scatter_add(dim, i, s),
        lambda x, i, s: x.scatter_reduce(dim, i, s, "prod"),
        lambda x, i, s: x.scatter_reduce(dim, i, s, "mean", include_self=False),
    ):
        np.testing.assert_array_equal(call(b, j, t).cpu().numpy(), call(a, i, s).numpy())


@pytest.mark.parametrize(
    "call",
    [
        lambda i: tg.ones(3, device="cuda")[i],
        lambda i: tg.ones(3, device="cuda").index_put((i,), tg.ones(2, device="cuda")),
        lambda i: tg.ones(3, device="cuda").gather(0, i),
        lambda i: tg.ones(3, 2, device="cuda").scatter_add(0, i[:, None], tg.ones(2, 1, device="cuda")),
        lambda i: F.embedding(i, tg.ones(3, 2, device="cuda")),
        lambda i: F.one_hot(i, 3),
        lambda i: F.nll_loss(tg.ones(2, 3, device="cuda"), i, reduction="none"),
        lambda i: F.cross_entropy(tg.ones(2, 3, device="cuda"), i),
    ],
)
def test_an_index_out_of_range_is_noticed_when_the_host_looks(call: Any) -> None:
    made = call(tg.tensor([1, 3], device="cuda"))
    with pytest.raises(IndexError, match=r"index 3 is out of range for size 3 in .* on cuda:"):
        made.cpu()
    assert tg.ones(1, device="cuda").item() == 1  # said once


def test_synchronize_notices_too() -> None:
    tg.ones(3, device="cuda")[tg.tensor([5], device="cuda")]
    with pytest.raises(IndexError, match="index 5 is out of range for size 3"):
        tg.cuda.synchronize()


def test_what_nobody_looked_at_is_said_at_exit() -> None:
    code = "import os, tapegrad as tg; tg.ones(3, device='cuda')[tg.tensor([5], device='cuda')]; pid = os.fork(); pid and os.waitpid(pid, 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("tapegrad, at exit: IndexError: index 5 is out of range for size 3") == 1, done.stderr  # not by the child


def test_an_index_of_the_host_is_checked_at_once() -> None:
    x = tg.ones(3, device="cuda")
    with pytest.raises(IndexError, match="index 3 is out of bounds for axis 0 with size 3"):
        x[[0, 3]]
    np.testing.assert_array_equal(x[tg.tensor([0, -1])].cpu().numpy(), [1, 1])  # a tensor of the host may index one on a GPU
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        tg.ones(3)[tg.tensor([0], device="cuda")]
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        x.index_select(0, tg.tensor([0]))


def test_a_saved_index_is_a_copy() -> None:
    x, i = tg.zeros(3, device="cuda", requires_grad=True), tg.tensor([0, 0, 2], device="cuda")
    y = x[i]
    i.fill_(1)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy(), [2, 0, 1])


def test_writes_through_indices() -> None:
    x = tg.zeros(4, 3, device="cuda")
    x[tg.tensor([1, 1], device="cuda")] = tg.tensor([[1.0, 1, 1], [2, 2, 2]], device="cuda")
    x[x > 1.5] = 7
    x[0, [0, 2]] = tg.tensor(5.0)
    np.testing.assert_array_equal(x.cpu().numpy(), [[5, 0, 5], [7, 7, 7], [0, 0, 0], [0, 0, 0]])
    x.masked_scatter_(x == 0, tg.arange(7.0, device="cuda"))
    np.testing.assert_array_equal(x.cpu().numpy(), [[5, 0, 5], [7, 7, 7], [1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("value", [(), (1,), (3,), (1, 3), (2, 1), (1, 2, 3), (1, 1, 1, 1), (4,), (2,), (3, 2), (2, 2, 3), (0,)])
def test_what_is_written_fits_as_on_the_cpu(value: tuple[int, ...]) -> None:
    source = tg.arange(int(np.prod(value))).float().reshape(value)
    found: list[Any] = []
    for device in ("cpu", "cuda"):
        x = tg.zeros(2, 3, device=device)
        try:
            x[:] = source.to(device)
            found.append(x.tolist())
        except RuntimeError:
            found.append(None)
    assert found[0] == found[1]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_that_end_before_the_indices_do(mode: str) -> None:
    rng = np.random.default_rng(0)
    index, table = rng.integers(0, 9, 60), rng.standard_normal((9, 4))
    offsets = np.array([0, 0, 20, 21, 50])
    results = []
    for device in ("cpu", "cuda"):
        weight = tg.tensor(table, device=device, requires_grad=True)
        i, o = tg.tensor(index, device=device), tg.tensor(offsets, device=device)
        out = F.embedding_bag(i, weight, o, mode=mode, include_last_offset=True, padding_idx=3)
        (out * out).sum().backward()
        results.append((out.detach().cpu().numpy(), weight.grad.cpu().numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)


def test_offsets_that_decrease_are_noticed() -> None:
    i, w = tg.zeros(4, dtype=tg.int64, device="cuda"), tg.ones(2, 2, device="cuda")
    out = F.embedding_bag(i, w, tg.tensor([0, 3, 2], device="cuda"))
    with pytest.raises(IndexError, match="embedding_bag, by its offsets"):
        out.cpu()


def test_ctc_over_more_states_than_threads() -> None:
    """Repeated labels, lengths that differ, an impossible sequence; and the second derivative."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((90, 3, 4))
    labels = rng.integers(1, 4, (3, 40))
    results = []
    for device in ("cpu", "cuda"):
        given = tg.tensor(x, device=device, requires_grad=True)
        loss = F.ctc_loss(given.log_softmax(2), tg.tensor(labels, device=device), (90, 30, 80), (40, 40, 7), reduction="none", zero_infinity=True)
        (g,) = tg.autograd.grad(loss.sum(), given)
        results.append((loss.detach().cpu().numpy(), g.cpu().numpy()))
    assert results[0][0][1] == 0
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11)


def test_the_second_derivative_of_ctc() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((4, 2, 3)), np.array([[1, 1], [2, 1]])
    results = []
    for device in ("cpu", "cuda"):
        given = tg.tensor(x, device=device, requires_grad=True)
        loss = F.ctc_loss(given.log_softmax(2), tg.tensor(labels, device=device), (4, 3), (2, 2))
        (g,) = tg.autograd.grad(loss, given, create_graph=True)
        (g * g).sum().backward()
        results.append(given.grad.cpu().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-9, atol=1e-11)


def test_the_host_waits_for_nothing_that_shapes_do_not_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    x = tg.ones(6, 3, device="cuda", requires_grad=True)
    i, mask = tg.tensor([0, 2, 2], device="cuda"), tg.tensor([True, False] * 3, device="cuda")
    target, at = tg.tensor([0, 1, 2, -100, 1, 0], device="cuda"), tg.zeros(6, 3, dtype=tg.int64, device="cuda")
    copies: list[str] = []
    driver = context.driver
    whole = driver.copy
    monkeypatch.setattr(driver, "copy", lambda device, stream, to, source, size, kind: (copies.append(kind), whole(device, stream, to, source, size, kind)))
    y = x * 2
    y[mask] = 0.0
    parts = [x[i], x[i, 1:], x.index_select(0, i), x.gather(1, at), x.scatter_add(0, at, x), x.index_put((i,), x[:3]), F.embedding(i, x), y]
    loss = sum((p * p).sum() for p in parts) + F.nll_loss(x, target) + F.cross_entropy(x, target) + F.multi_margin_loss(x, target.clamp(min=0))
    loss.backward()
    assert not copies, copies
    monkeypatch.undo()
    assert np.isfinite(x.grad.cpu().numpy()).all()
