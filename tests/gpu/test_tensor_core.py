"""Tensors on the GPU as the tape sees them: each of these gives on the GPU what it gives on the CPU, there."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.function import once_differentiable
from tapegrad.tensor import Tensor
from tapegrad.utils.checkpoint import checkpoint

SCENARIOS: list[Callable[[str], Any]] = []


def scenario(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """A function of the device that returns tensors, numbers and texts."""
    SCENARIOS.append(function)
    return function


def made(device: str, *shape: int, seed: int = 0, requires_grad: bool = False) -> Tensor:
    values = np.random.default_rng(seed).uniform(-2, 2, shape)
    return tg.tensor(values, dtype=tg.float32, device=device, requires_grad=requires_grad)


def leaf(device: str, *shape: int, seed: int = 0) -> Tensor:
    return made(device, *shape, seed=seed, requires_grad=True)


# ------------------------------------------------------------------------------------------------------ writing in place


@scenario
def arithmetic_in_place(device: str) -> Any:
    x, y = made(device, 3, 4), made(device, 4, seed=1)
    x.add_(y).mul_(2.0).sub_(y, alpha=0.5).clamp_(-1.0, 3.0)
    x += 1
    x.add_(made(device, 3, 4, seed=2), alpha=0.25)
    return x, x.exp_(), x._version > 0


@scenario
def in_place_on_the_tape(device: str) -> Any:
    x, w = leaf(device, 3, 4), leaf(device, 4, seed=1)
    y = x * 2
    y.add_(w).mul_(w.exp())
    y.tanh_()
    y.sum().backward()
    return y, x.grad, w.grad


@scenario
def filling(device: str) -> Any:
    x, y = leaf(device, 3, 4), leaf(device, 4, seed=1)
    z, u = x * 1, x * 1
    z[1].zero_()
    u[:, 2].fill_(3.5)
    u[0].fill_(y[1])
    u[2] = 7.0
    u[1, 1:3] = y[:2]
    (z * u).sum().backward()
    plain = made(device, 5)
    plain.zero_()
    filled = made(device, 5).fill_(2)
    return z, u, x.grad, y.grad, plain, filled


@scenario
def copying(device: str) -> Any:
    x, y = leaf(device, 3, 4), leaf(device, 4, seed=1)
    z = x * 1
    z.copy_(y)
    z[1].copy_(x[2].double())
    z.sum().backward()
    whole = tg.zeros(3, 4, device=device).copy_(made(device, 3, 4))
    integers = tg.zeros(4, dtype=tg.int64, device=device).copy_(made(device, 4) * 9)
    return z, x.grad, y.grad, whole, integers


@scenario
def overlapping_operands(device: str) -> Any:
    x = made(device, 6)
    x[1:].add_(x[:-1])
    y = made(device, 3, 3)
    y.mul_(y.T)
    z = tg.arange(200.0, device=device)
    z[1:] = z[:-1].clone()
    z[1:] = z[:-1]
    z[:100].copy_(z[50:150])
    return x, y, z


@scenario
def triangles_in_place(device: str) -> Any:
    x = leaf(device, 3, 3)
    y = x * 1
    y.tril_(1)
    y.triu_(-1)
    y.square().sum().backward()
    return y, x.grad


@scenario
def complex_parts(device: str) -> Any:
    x, y = leaf(device, 3), leaf(device, 3, seed=1)
    z = tg.complex(x, y)
    w = z * z
    w.real.mul_(2.0)
    w.imag = y
    tg.view_as_real(w).square().sum().backward()
    return w, z.conj(), x.grad, y.grad, tg.view_as_complex(made(device, 2, 2))


# ------------------------------------------------------------------------------------------------------------------ views


@scenario
def writes_to_views(device: str) -> Any:
    x, w = leaf(device, 4, 6), leaf(device, 2, 3, seed=1)
    y = x * 1
    view = y[1:3].transpose(0, 1)[::2]
    view.mul_(w.T)
    y.diagonal(1)[1:].add_(1.0)
    y.view(2, 12)[1, 3:5] *= 3.0
    y.unfold(1, 2, 2)[0, 1] = -1.0
    (y * y).sum().backward()
    return y, view, x.grad, w.grad


@scenario
def views_follow_their_root(device: str) -> Any:
    x = leaf(device, 3, 4)
    y = x * 1
    row = y[1]
    y.mul_(2.0)
    row.add_(1.0)
    (row * row).sum().backward()
    return row, y, x.grad, row._base is not None


@scenario
def strided_views(device: str) -> Any:
    x = leaf(device, 12)
    y = x * 1
    windows = y.as_strided((5, 4), (2, 1))
    (windows * made(device, 5, 4, seed=3)).sum().backward()
    z = made(device, 12)
    z.as_strided((3, 2), (4, 2), 1).zero_()
    again = leaf(device, 4, 5)
    again.T.as_strided((3, 3), (1, 2), 2).square().sum().backward()
    return windows, x.grad, z, again.grad


@scenario
def a_root_of_other_strides(device: str) -> Any:
    x = leaf(device, 3, 4)
    y = (x * 1).T.clone().T * 1
    y = y.T.contiguous().T
    y.T.reshape(-1)[2:5].mul_(3.0)
    y.square().sum().backward()
    return y, x.grad


@scenario
def expanded(device: str) -> Any:
    x = leaf(device, 3, 1)
    y = x.expand(2, 3, 4)
    (y * made(device, 2, 3, 4)).sum().backward()
    return y, x.grad, y.stride()


# --------------------------------------------------------------------------------------------------------------- the tape


@scenario
def accumulation(device: str) -> Any:
    x, w = leaf(device, 3, 4), leaf(device, 4, seed=1)
    for k in range(3):
        (x * w * float(k)).sum().backward()
    kept = x.grad
    (x.exp()).backward(made(device, 3, 4, seed=5))
    return x.grad, w.grad, kept is x.grad


@scenario
def hooks(device: str) -> Any:
    x = leaf(device, 3)
    seen: list[Tensor] = []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.clone()))
    y.register_hook(lambda g: g * 10)
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.clone()))
    y.retain_grad()
    y.square().sum().backward()
    return x.grad, y.grad, *seen


@scenario
def second_order(device: str) -> Any:
    x, w = leaf(device, 3, 4), leaf(device, 4, 2, seed=1)
    y = (x @ w).tanh().sum()
    (first,) = tg.autograd.grad(y, x, create_graph=True)
    first.square().sum().backward()
    return first, x.grad, w.grad


@scenario
def asked_for_gradients(device: str) -> Any:
    x, unused = leaf(device, 3), leaf(device, 2)
    y = x.sin()
    found = tg.autograd.grad([y.sum(), (y * y).sum()], [x, y, unused], materialize_grads=True)
    return found


@scenario
def modes(device: str) -> Any:
    x = leaf(device, 3)
    with tg.no_grad():
        y = x * 2
        x.mul_(1.5)
        x[0] = 4.0
    with tg.inference_mode():
        z = x + 1
    return x, y, z.clone(), y.requires_grad, z.requires_grad, (x.detach() * 2).requires_grad


@scenario
def checkpointed(device: str) -> Any:
    x, w = leaf(device, 3, 4), leaf(device, 4, seed=1)
    y = checkpoint(lambda x: (x * w * 0.25).exp().sin(), x)
    y.sum().backward()
    return y, x.grad, w.grad


@scenario
def saved_tensor_hooks(device: str) -> Any:
    x = leaf(device, 3)
    packed: list[str] = []

    def pack(t: Tensor) -> Tensor:
        packed.append(str(tuple(t.shape)))
        return t.cpu()

    with tg.autograd.graph.saved_tensors_hooks(pack, lambda t: t.to(device)):
        y = x.exp() * x
    y.sum().backward()
    return x.grad, str(packed)


class Cube(tg.autograd.Function):
    """x^3, and a second output that no gradient reaches."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        return x * x * x, y

    @staticmethod
    def backward(ctx: Any, g: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x, h


class Once(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * 2 * ctx.saved_tensors[0]


@scenario
def functions(device: str) -> Any:
    x, y = leaf(device, 3), leaf(device, 2, seed=1)
    cubed, same = Cube.apply(x, y)
    cubed.sum().backward(retain_graph=True)
    first = x.grad.clone()
    (again,) = tg.autograd.grad(cubed.sum(), x, create_graph=True)
    again.sum().backward()
    z = leaf(device, 3)
    (once,) = tg.autograd.grad(Once.apply(z).sum(), z, create_graph=True)
    with pytest.raises(RuntimeError) as refused:
        once.sum().backward()
    return first, y.grad, x.grad, same, once, str(refused.value)


@scenario
def anomalies(device: str) -> Any:
    x = tg.tensor([-1.0, 2.0], device=device, requires_grad=True)
    with tg.autograd.detect_anomaly(), pytest.raises(RuntimeError) as found:
        tg.sqrt(x).sum().backward()
    with tg.autograd.detect_anomaly():
        (x * 2).sum().backward()
    return x.grad, "returned nan as the gradient" in str(found.value)


@scenario
def modified_values(device: str) -> Any:
    x = leaf(device, 3)
    y = x * 1
    z = y.exp()
    z.add_(1.0)
    with pytest.raises(RuntimeError) as found:
        z.sum().backward()
    with pytest.raises(RuntimeError) as of_leaf:
        x.add_(1.0)
    with pytest.raises(RuntimeError) as of_expanded:
        made(device, 3, 1).expand(3, 4).add_(1.0)
    return str(found.value), str(of_leaf.value), str(of_expanded.value)


@scenario
def rearrangements(device: str) -> Any:
    x = leaf(device, 3, 4)
    y = tg.cat([x.flip(0), x.roll((1, -1), (0, 1))], 1)
    z = tg.stack([y, y.tril(1)], 1).unfold(2, 3, 2)
    (z * z).sum().backward()
    return z, x.grad, tg.diag_embed(x), x.rot90(), tg.block_diag(x, x[0]), tg.vander(x[0])


@scenario
def ordering(device: str) -> Any:
    x = leaf(device, 3, 5)
    values, places = x.sort(1, descending=True)
    top = x.topk(2, 0)
    (values[:, :2].sum() + (top.values * 3).sum()).backward()
    whole = (made(device, 300, seed=4) * 20).long()
    found = whole.unique(return_inverse=True, return_counts=True)
    return values, places, top.values, top.indices, x.grad, *found, whole.sort().indices, whole.abs().bincount(minlength=50)


# ------------------------------------------------------------------------------------------------- copies and their texts


@scenario
def copies(device: str) -> Any:
    x = leaf(device, 2, 3)
    other = copy.deepcopy(x)
    other.data.mul_(2.0)
    return x, other, other.requires_grad, copy.copy(x), x.detach().tolist(), x[0, 1].item()


@scenario
def moves(device: str) -> Any:
    x = leaf(device, 3)
    y = x.to("cpu").mul(2.0).to(device).double()
    y.sum().backward()
    return y, x.grad


# -------------------------------------------------------------------------------------------------------------- the tests


@scenario
def numbers_before_tensors(device: str) -> Any:
    """What has no dimensions may be on the CPU, also where it comes first, and results are on the GPU."""
    x, k = leaf(device, 3, 4), tg.tensor([1, -2, 3], dtype=tg.int32, device=device)
    number = tg.tensor(2.0)
    y = number * x + tg.atan2(number, x) + tg.where(tg.tensor(True), x, 0.0) + 1j * x
    y.abs().sum().backward()
    return y, x.grad, tg.where(k > 0, 1, k), k.clamp(0, k), 2**60 + k.long()


@scenario
def products_of_nothing(device: str) -> Any:
    x, y = made(device, 3, 0, 2)[..., 1], made(device, 0, 5, 2)[..., 1]
    return x @ y, y @ made(device, 5, 2), tg.nn.functional.linear(made(device, 2, 0, 3, 2)[..., 1], made(device, 5, 3), made(device, 5))


def listed(value: Any) -> list[Any]:
    return [v for part in value for v in listed(part)] if isinstance(value, (tuple, list)) else [value]


@pytest.mark.parametrize("function", SCENARIOS, ids=lambda f: f.__name__)
def test_as_on_the_cpu(function: Callable[[str], Any]) -> None:
    expected, found = listed(function("cpu")), listed(function("cuda"))
    assert len(found) == len(expected)
    for k, (a, e) in enumerate(zip(found, expected, strict=True)):
        if isinstance(e, Tensor):
            assert a.is_cuda, f"result {k} is on {a.device}"
            assert (tuple(a.shape), a.dtype) == (tuple(e.shape), e.dtype)
            np.testing.assert_allclose(a.detach().cpu().numpy(), e.detach().numpy(), rtol=2e-5, atol=1e-6, err_msg=f"result {k}")
        else:
            assert a == e if not isinstance(e, float) else a == pytest.approx(e), f"result {k}"


def test_copies_between_devices(cuda: Any) -> None:
    x, y = tg.arange(6.0).reshape(2, 3), tg.zeros(2, 3, device=cuda)
    y.copy_(x)
    back = tg.zeros(2, 3).copy_(y * 2)
    y[0] = tg.tensor([7.0, 8.0, 9.0])
    y[1, 2].fill_(tg.tensor(1.0))
    assert y.tolist() == [[7, 8, 9], [3, 4, 1]]
    assert back.tolist() == [[0, 2, 4], [6, 8, 10]]


def test_gradients_flow_between_devices(cuda: Any) -> None:
    x, w = tg.ones(3, requires_grad=True), tg.full((3,), 2.0, device=cuda, requires_grad=True)
    y = tg.zeros(3, device=cuda)
    y.copy_(x)
    z = tg.zeros(3)
    z.copy_(w)
    ((y * w).cpu() + z).sum().backward()
    assert x.grad is not None and w.grad is not None
    assert x.grad.device.type == "cpu" and x.grad.tolist() == [2, 2, 2]
    assert w.grad.is_cuda and w.grad.tolist() == [2, 2, 2]


def test_numbers_of_devices(cuda: Any) -> None:
    x = made("cpu", 2)
    assert tg.device(0) == x.to(0).device == tg.zeros(1, device=0).device == cuda
    for wrong in (lambda: tg.device("cuda", -1), lambda: x.cuda(-1), lambda: x.to(99)):
        with pytest.raises(RuntimeError, match="negative|does not exist"):
            wrong()


def test_a_number_on_the_cpu_takes_no_results_of_the_gpu(cuda: Any) -> None:
    for write in (lambda a, b: a.add_(b), lambda a, b: a.mul_(b), lambda a, b: a.lerp_(b, 0.5)):
        with pytest.raises(RuntimeError, match=f"on {cuda} can't be written to a tensor on the CPU"):
            write(tg.tensor(1.0), tg.tensor(2.0, device=cuda))
    assert tg.tensor(1.0).copy_(tg.tensor(2.0, device=cuda)).item() == 2


def test_integers_of_no_dtype(cuda: Any) -> None:
    x = tg.tensor([1, 2], device=cuda)
    for _ in range(3):
        assert (x + 1).tolist() == [2, 3]  # and from the second time on by what the first has left
    for number in (2**64, -(2**70)):
        with pytest.raises(OverflowError):
            x + number


def test_threads(cuda: Any) -> None:
    def work(seed: int) -> Any:
        x = made("cuda", 5, 4, seed=seed, requires_grad=True)
        ((x @ x.t()).softmax(1) * x.sum(1)).sum().backward()
        return x.grad.cpu().numpy()

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(work, range(6)))
    for seed, grad in enumerate(found):
        np.testing.assert_array_equal(grad, work(seed))


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_gradient_of_a_number_on_the_cpu_is_there(cuda: Any, create_graph: bool) -> None:
    scale, x = tg.tensor(3.0, requires_grad=True), tg.arange(4.0, device=cuda, requires_grad=True)
    y = (x * scale).exp() + scale
    y.add_(scale)
    gx, gs = tg.autograd.grad(y.sum(), [x, scale], create_graph=create_graph)
    assert gx.is_cuda and gs.device.type == "cpu" and gs.ndim == 0
    values = np.arange(4.0)
    assert gs.item() == pytest.approx(8 + (values * np.exp(3 * values)).sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("add", lambda a, b: a + b),
        ("add", lambda a, b: a.add_(b)),
        ("where", lambda a, b: tg.where(a > 0, a, b)),
        ("cat", lambda a, b: tg.cat([a, b])),
        ("stack", lambda a, b: tg.stack([a, b])),
        ("matmul", lambda a, b: a @ b),
        ("linear", lambda a, b: tg.nn.functional.linear(a, b)),
        ("linear", lambda a, b: tg.nn.functional.linear(a, a, b[0])),
        ("searchsorted", lambda a, b: tg.searchsorted(a, b)),
        ("isin", lambda a, b: tg.isin(a, b)),
        ("complex", lambda a, b: tg.complex(a, b)),
        ("cross_entropy", lambda a, b: tg.nn.functional.cross_entropy(a, b.abs())),
        ("layer_norm", lambda a, b: tg.nn.functional.layer_norm(a, (3,), b[0])),
        ("mse_loss", lambda a, b: tg.nn.functional.mse_loss(a, b)),
        ("einsum", lambda a, b: tg.einsum("ij,jk->ik", a, b)),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_operands_on_two_devices(cuda: Any, name: str, call: Callable[[Tensor, Tensor], Any], swapped: bool) -> None:
    a, b = tg.ones(3, 3, device=cuda), tg.ones(3, 3)
    with pytest.raises(RuntimeError) as found:
        call(b, a) if swapped else call(a, b)
    text = str(found.value)
    assert text.startswith(name)
    assert str(cuda) in text and "cpu" in text and "3, 3)" in text and ".to(" in text


def test_gradients_on_the_wrong_device(cuda: Any) -> None:
    x = tg.ones(3, device=cuda, requires_grad=True)
    with pytest.raises(RuntimeError, match=rf"cpu.*{cuda}|{cuda}.*cpu"):
        x.grad = tg.ones(3)
    with pytest.raises(RuntimeError, match=rf"gradient 0 has shape \(3,\) on cpu, .*{cuda}"):
        (x * 2).backward(gradient=tg.ones(3))
    with pytest.raises(RuntimeError, match=rf"on {cuda}.* on cpu"):
        (tg.ones(3, requires_grad=True) * 2).backward(gradient=tg.ones(3, device=cuda))
    assert x.grad is None


def test_a_hook_may_not_move_a_gradient(cuda: Any) -> None:
    x = tg.ones(3, device=cuda, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g.cpu())
    with pytest.raises(RuntimeError, match=r"a hook on a tensor of shape \(3,\).*cpu"):
        y.sum().backward()


def test_data_is_replaced_by_data_elsewhere(cuda: Any) -> None:
    x = tg.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    x.data = x.data.to(cuda)
    assert x.is_cuda
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad is not None and x.grad.is_cuda


def test_texts(cuda: Any) -> None:
    x = tg.arange(3.0, device=cuda)
    assert repr(x) == f"tensor([0., 1., 2.], device='{cuda}')"
    assert repr(x.requires_grad_() * 2) == f"tensor([0., 2., 4.], device='{cuda}', grad_fn=<MulBackward0>)"
    assert f"{x[1].detach():.2f}" == "1.00"
    assert x.device == cuda and x.is_cuda


def test_what_needs_the_host_says_so(cuda: Any) -> None:
    x = tg.ones(3, device=cuda)
    with pytest.raises(TypeError, match=rf"{cuda}.*\.cpu\(\)"):
        x.numpy()
    with pytest.raises(TypeError, match=rf"{cuda}.*\.cpu\(\)"):
        np.asarray(x)
    with pytest.raises(TypeError, match=rf"{cuda}.*\.cpu\(\)"):
        np.linalg.svd(x)
    assert np.exp(x).is_cuda and np.concatenate([x, x]).is_cuda
    assert float(x[0]) == 1.0 and bool(x[0]) and int(x[1]) == 1 and x.sum().item() == 3


def test_pickled(cuda: Any) -> None:
    x = tg.arange(6.0, device=cuda).reshape(2, 3)
    again = pickle.loads(pickle.dumps(x.requires_grad_()))
    assert again.device == cuda and again.requires_grad and again.tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="only leaf tensors can be pickled"):
        pickle.dumps(x * 2)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_functions_gradient_must_be_where_its_input_is(device: str) -> None:
    class Elsewhere(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g.to("cpu" if g.is_cuda else "cuda")

    w = tg.ones(3, device=device, requires_grad=True)
    with pytest.raises(RuntimeError, match="Elsewhere.backward returned a gradient on .* for input 0, which is on"):
        Elsewhere.apply(w).sum().backward()
    assert w.grad is None
