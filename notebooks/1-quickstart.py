# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart
#
# tapegrad computes gradients of Python code that works on tensors. It reads like PyTorch; its tape can be looked at. This page takes
# a few minutes. The first run is slower, since kernels are compiled once and then kept on disk.

# %%
import numpy as np

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.nn import functional as F
from tapegrad.testing import check_grads

generator = tg.manual_seed(0)  # the same numbers in every run

# %% [markdown]
# ## Tensors
#
# A tensor is an n-dimensional array. `tg.tensor` copies, `tg.from_numpy` shares memory.

# %%
x = tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
x, x.shape, x.dtype

# %%
x * 2 + x.mean(dim=1, keepdim=True)  # sizes of 1 stretch, as in NumPy

# %%
a = np.arange(3.0)
t = tg.from_numpy(a)
t += 10  # in place: the array sees it
a

# %% [markdown]
# ## Gradients
#
# Mark what to differentiate with respect to, compute a number, and call `backward()`. Gradients arrive in `.grad`.

# %%
w = tg.tensor([1.0, -2.0, 0.5], requires_grad=True)
loss = (x @ w).square().sum()
loss.backward()
w.grad

# %% [markdown]
# The same by hand: the derivative of $|Xw|^2$ is $2X^T(Xw)$.

# %%
2 * x.T @ (x @ w.detach())

# %% [markdown]
# ## The tape
#
# Every operation that a gradient flows through is an entry on a tape. `loss.tape()` shows the entries that lead to one result: what
# was computed from what, its shape, and how much memory is kept for going backward. `#0` is the result of row 0.

# %%
w.grad = None
loss = (x @ w).square().sum()
loss.tape()

# %% [markdown]
# `tg.record()` keeps everything that a region of code did. `print(tape)` shows such a table with the lines of your source in its last
# column; a tape is also a list of rows, so a few lines of Python answer questions about it.

# %%
with tg.record() as tape:
    y = tg.exp(x @ w)
    norm = (y * y).sum().sqrt()

for row in tape:
    print(row.index, row.op, row.inputs, row.shape)
print("bytes kept for backward:", tape.saved)

# %% [markdown]
# ## Is a gradient right?
#
# `check_grads` compares gradients with numerical ones, first and second order, in double precision. It says nothing when all is well.

# %%
p = tg.tensor([0.3, -1.2, 2.0], dtype=tg.float64, requires_grad=True)
check_grads(lambda p: (p.sin() * p.exp()).sum(), p)

# %% [markdown]
# Here is a mistake to find: `detach()` cuts one factor off the tape, so half of the gradient of $p^2$ is missing.

# %%
try:
    check_grads(lambda p: (p.detach() * p).sum(), p)
except AssertionError as error:
    print(error)

# %% [markdown]
# ## Higher derivatives
#
# With `create_graph=True` the gradient is recorded too and can be differentiated again. `tg.autograd.grad` returns gradients instead
# of accumulating them. Derivatives of $\sin$ at 0.5, one after the other:

# %%
z = tg.tensor(0.5, dtype=tg.float64, requires_grad=True)
value = tg.sin(z)
for order in range(5):
    print(f"order {order}: {value.item():+.6f}")
    (value,) = tg.autograd.grad(value, z, create_graph=True)

# %% [markdown]
# ## Your own operation
#
# An elementwise function is one expression of numbers. Its compiled kernel and its derivatives, to any order, come from it.
# `tg.E` holds the functions that may be used.

# %%
softsign = tg.elementwise(lambda x: x / (1 + tg.E.abs(x)))

u = tg.linspace(-3, 3, 7, requires_grad=True)
softsign(u).sum().backward()
softsign(u).detach(), u.grad

# %%
check_grads(softsign, tg.tensor([-1.5, 0.4], dtype=tg.float64, requires_grad=True), order=3)

# %% [markdown]
# ## A small network
#
# Two interleaved spirals are hard for a straight line and easy for a perceptron with one hidden layer.


# %%
def spirals(n: int) -> tuple[tg.Tensor, tg.Tensor]:
    """n points, shape (n, 2), on two spiral arms, and which arm each is on."""
    arm = tg.randint(0, 2, (n,))
    angle = 1 + 5 * tg.rand(n)
    turned = angle + np.pi * arm.float()
    radius = angle / 6
    points = tg.stack([radius * turned.cos(), radius * turned.sin()], dim=1)
    return points + 0.02 * tg.randn(n, 2), arm


class Perceptron(nn.Module):
    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.first = nn.Linear(2, hidden)
        self.second = nn.Linear(hidden, 2)

    def forward(self, points: tg.Tensor) -> tg.Tensor:
        return self.second(self.first(4 * points).tanh())


train, test = spirals(400), spirals(400)
model = Perceptron()
optimizer = optim.Adam(model.parameters(), lr=0.02)
for step in range(201):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(train[0]), train[1])
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3d}  loss {loss.item():.4f}")

with tg.no_grad():
    hits = model(test[0]).argmax(dim=1) == test[1]
print(f"right on {hits.float().mean().item():.0%} of {len(hits)} new points")

# %% [markdown]
# The tape of a training step is short enough to read. Inside `tg.no_grad()`, as above, nothing is recorded.

# %%
F.cross_entropy(model(train[0]), train[1]).tape()

# %% [markdown]
# ## From here
#
# * `tapegrad demo` in a terminal trains three classifiers of handwritten digits.
# * `model.state_dict()` with `tg.save` and `tg.load` keeps what was learned, and loading never runs code.
# * `tapegrad doctor` prints what a bug report needs.
