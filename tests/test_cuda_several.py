"""Several GPUs, simulated: tensors on one that is not the current one, and on two. In processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tapegrad as tg

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "TAPEGRAD_CUDA", "TAPEGRAD_TEST"))}
ENVIRONMENT |= {"TAPEGRAD_CUDA_DRIVER": "simulator:2", "PYTHONPATH": str(Path(tg.__file__).parents[1])}

START = """
import numpy as np
import pytest
import tapegrad as tg
from tapegrad import nn
from tapegrad.kernels.cuda.context import context

there = tg.device("cuda", 1)
launched = []
launch = context.driver.launch
context.driver.launch = lambda device, stream, *rest: (launched.append((device, stream)), launch(device, stream, *rest))
"""


def run(code: str) -> None:
    """Run the code beside two simulated GPUs; the first is the current one."""
    source = START + textwrap.dedent(code) + "\nassert tg.cuda.current_device() == 0\n"
    done = subprocess.run([sys.executable, "-c", source], env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "tests",
    [
        ("tests/gpu/test_tensor_core.py", "--deselect", "tests/gpu/test_tensor_core.py::test_numbers_of_devices"),
        pytest.param(("tests/gpu/test_modules.py", "tests/gpu/test_optim.py", "tests/gpu/test_random.py", "tests/gpu/test_attention.py"), marks=pytest.mark.nightly),
        pytest.param(("tests/gpu/test_matrix.py", "-k", "test_values_and_gradients and -0]"), marks=pytest.mark.nightly),
    ],
    ids=["core", "modules", "matrix"],
)
def test_the_tests_of_the_gpu_pass_on_one_that_is_not_the_current_one(tests: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short", *tests]
    done = subprocess.run(command, cwd=ROOT, env={**ENVIRONMENT, "TAPEGRAD_TEST_GPU": "1"}, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) > 0


def test_a_model_trains_where_its_parameters_are() -> None:
    run("""
        def losses(device):
            tg.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)).to(device)
            optimizer = tg.optim.AdamW(model.parameters(), lr=0.05)
            x, y = tg.randn(6, 4).to(device), tg.tensor([0, 1, 2, 0, 1, 2], device=device)
            found = []
            for _ in range(4):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                found.append(loss.item())
            assert {p.grad.device for p in model.parameters()} == {tg.device(device)}
            return found

        expected, here = losses("cpu"), losses("cuda:0")
        assert {device for device, _ in launched} == {0}
        launched.clear()
        assert losses("cuda:1") == here
        assert {device for device, _ in launched} == {1}
        np.testing.assert_allclose(here, expected, rtol=1e-5)
        with tg.cuda.device(1):
            assert losses("cuda:1") == here
    """)


def test_tensors_and_gradients_move_between_gpus() -> None:
    run("""
        x = tg.arange(6.0, device="cuda:0").reshape(2, 3).requires_grad_()
        w = tg.full((2, 3), 2.0, device=there, requires_grad=True)
        y = (x * 3).T.to(there).T * w  # of the first, strided, then of the second
        assert y.device == there
        z = y.sum() * 2 + (x.cuda(1) * w).sum()
        z.backward()
        assert x.grad.device == tg.device("cuda:0") and w.grad.device == there
        assert x.grad.tolist() == np.full((2, 3), 14).tolist() and w.grad.tolist() == (7 * np.arange(6.0).reshape(2, 3)).tolist()
        (gx,) = tg.autograd.grad((x.to(there) ** 3).sum().to("cuda:0"), x, create_graph=True)
        gx.sum().to(there).backward()
        assert x.grad.tolist() == (14 + 6 * np.arange(6.0)).reshape(2, 3).tolist()
        assert tg.zeros(2, 3, device=there).copy_(x.detach()).tolist() == x.tolist()
        layers = nn.Linear(3, 4).to("cuda:0"), nn.Linear(4, 2).to(there)
        optimizer = tg.optim.Adam([p for layer in layers for p in layer.parameters()])
        before = [layer.weight.tolist() for layer in layers]
        layers[1](layers[0](x.detach()).relu().to(there)).sum().backward()
        optimizer.step()
        assert [layer.weight.device.index for layer in layers] == [0, 1]
        assert all(layer.weight.tolist() != old for layer, old in zip(layers, before))
    """)


def test_operands_of_two_gpus_are_refused() -> None:
    run("""
        F = nn.functional
        cases = [
            ("add", lambda a, b: a + b), ("add", lambda a, b: a.add_(b)), ("where", lambda a, b: tg.where(a > 0, a, b)),
            ("cat", lambda a, b: tg.cat([a, b])), ("matmul", lambda a, b: a @ b), ("linear", lambda a, b: F.linear(a, a, b[0])),
            ("gather", lambda a, b: a.gather(0, b.long())), ("layer_norm", lambda a, b: F.layer_norm(a, (3,), b[0])),
            ("mse_loss", lambda a, b: F.mse_loss(a, b)), ("cross_entropy", lambda a, b: F.cross_entropy(a, b[0].long())),
            ("conv2d", lambda a, b: F.conv2d(a[None, None], b[None, None])), ("einsum", lambda a, b: tg.einsum("ij,jk->ik", a, b)),
        ]
        for name, call in cases:
            for first, second in ("cuda:0", "cuda:1"), ("cuda:1", "cuda:0"):
                a, b = tg.ones(3, 3, device=first), tg.ones(3, 3, device=second)
                with pytest.raises(RuntimeError, match=f"^{name}: expected all tensors on one device.*cuda:.*cuda:"):
                    call(a, b)
                assert (a + 1).sum().item() == (b + 1).sum().item() == 18
        with pytest.raises(RuntimeError, match=r"gradient 0 has shape .* on cuda:1.* on cuda:0"):
            (tg.ones(3, device="cuda:0", requires_grad=True) * 2).backward(tg.ones(3, device=there))
        assert b[tg.tensor([0, 2])].device == b.device  # small indices may come from the CPU
    """)


def test_streams_of_each_gpu() -> None:
    run("""
        x, side = tg.ones(4, device=there), tg.cuda.Stream(1)
        with tg.cuda.device(1), tg.cuda.stream(side):
            pass
        launched.clear()
        with tg.cuda.stream(side):  # makes its GPU the current one
            assert tg.cuda.current_device() == 1
            y = x + 1
            with tg.cuda.device(0):
                y = y + 1
                tg.ones(2, device="cuda") + 1
        assert launched == [(1, side.cuda_stream)] * 2 + [(0, 0)] * 2
        launched.clear()
        z = y + 1
        assert launched == [(1, 0)] and z.tolist() == [4] * 4
        tg.cuda.synchronize(1)
        with pytest.raises(IndexError, match="index 9 is out of range for size 4 in .* on cuda:1"):
            x[tg.tensor([9], device=there)].tolist()
    """)


def test_what_makes_tensors_and_draws_numbers() -> None:
    run("""
        for made in (
            tg.zeros(3, device=there), tg.arange(3, device=there), tg.linspace(0, 1, 3, device=there), tg.eye(3, device=there),
            tg.tensor([1, 2], device=there), tg.randn(3, device=there), tg.randperm(5, device=there), tg.full((2,), 7, device=there),
        ):
            assert made.device == there == tg.zeros_like(made).device == (made + 1).device == made.clone().device == made.to(tg.float64).device
        def drawn():
            x = tg.ones(50, device=there)
            return nn.functional.dropout(x), x.clone().normal_(), tg.rand_like(x), x.bernoulli(0.5), tg.multinomial(x, 5)
        tg.cuda.manual_seed_all(3)
        state = tg.cuda.get_rng_state(1)
        first = drawn()
        tg.rand(10, device="cuda:0")  # another generator
        tg.cuda.set_rng_state(state, 1)
        again = drawn()
        assert all(a.device == there and a.equal(b) for a, b in zip(first, again))
        with pytest.raises(RuntimeError, match="generator"):
            tg.rand(3, device=there, generator=tg.Generator("cuda:0"))
        assert repr(tg.zeros(2, device=there)) == "tensor([0., 0.], device='cuda:1')"
        assert tg.cuda.memory_allocated(1) > 0
    """)


def test_functions_that_follow_no_array_are_known_by_name() -> None:
    run("""
        from tapegrad.kernels import cuda
        from tapegrad.kernels.cuda.several import _ANYWHERE
        assert _ANYWHERE and not [name for name in _ANYWHERE if not callable(getattr(cuda, name, None))]
    """)
