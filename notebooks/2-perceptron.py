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
# # Forward, backward, and the memory between them
#
# A perceptron with one hidden layer and weight decay is small enough to differentiate by hand. This page does so, compares every
# gradient with the tape's, and then looks at what training keeps in memory that prediction lets go.

# %%
import tracemalloc

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.nn import functional as F
from tapegrad.utils.memory import memory_report

generator = tg.manual_seed(0)

# %% [markdown]
# ## Forward
#
# An example $x$, a label $y$, two weight matrices and no biases:
#
# $$z = W_1 x, \quad h = \tanh z, \quad o = W_2 h, \quad L = l(o, y), \quad
# s = \tfrac{\lambda}{2}\left(\|W_1\|_F^2 + \|W_2\|_F^2\right), \quad J = L + s$$
#
# $l$ is the cross-entropy of the softmax of $o$.

# %%
decay = 0.1
x, y = tg.randn(4, dtype=tg.float64), tg.tensor(2)
W1 = tg.randn(5, 4, dtype=tg.float64, requires_grad=True)
W2 = tg.randn(3, 5, dtype=tg.float64, requires_grad=True)

z = F.linear(x, W1)
h = z.tanh()
o = F.linear(h, W2)
L = F.cross_entropy(o, y)
s = decay / 2 * (W1.square().sum() + W2.square().sum())
J = L + s
J

# %% [markdown]
# The graph of these variables is on the tape: `#2` stands for the result of row 2, `leaf` for a weight, `const` for data.

# %%
J.tape()

# %% [markdown]
# ## Backward
#
# The chain rule goes through the rows from the last to the first. By hand:
#
# $$\frac{\partial J}{\partial o} = \mathrm{softmax}(o) - e_y, \quad
# \frac{\partial J}{\partial W_2} = \frac{\partial J}{\partial o} h^\top + \lambda W_2, \quad
# \frac{\partial J}{\partial h} = W_2^\top \frac{\partial J}{\partial o}, \quad
# \frac{\partial J}{\partial z} = \frac{\partial J}{\partial h} \odot (1 - h \odot h), \quad
# \frac{\partial J}{\partial W_1} = \frac{\partial J}{\partial z} x^\top + \lambda W_1$$

# %%
for node in (o, h, z):
    node.retain_grad()  # only leaves keep their gradient unless asked
J.backward()

with tg.no_grad():
    do = F.softmax(o, 0) - F.one_hot(y, 3)
    dh = W2.T @ do
    dz = dh * (1 - h * h)
    by_hand = {"o": do, "W2": tg.outer(do, h) + decay * W2, "h": dh, "z": dz, "W1": tg.outer(dz, x) + decay * W1}

taped = {"o": o, "W2": W2, "h": h, "z": z, "W1": W1}
for name, gradient in by_hand.items():
    print(f"{name:2}  greatest difference {(taped[name].grad - gradient).abs().max().item():.1e}")

# %% [markdown]
# ## What the formulas need
#
# $\partial J / \partial W_2$ needs $h$, and $\partial J / \partial z$ needs it again. So $h$ has to stay in memory from the forward
# pass until backward comes back to it. Prediction can let it go as soon as $o$ is there. One layer makes no difference to speak of;
# here is a deeper net and a batch of 512.


# %%
def network(depth: int, width: int = 256) -> nn.Sequential:
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(width, 10))


model = network(depth=8)
images, labels = tg.randn(512, 256), tg.randint(10, (512,))
optimizer = optim.Adam(model.parameters())


def loss() -> tg.Tensor:
    return F.cross_entropy(model(images), labels)


def step() -> None:
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()


def predict() -> None:
    with tg.no_grad():
        model(images)


step()  # Adam makes its averages in its first step
memory_report(loss, model, optimizer)

# %% [markdown]
# * *Parameters* are needed in any case, *gradients* of the same size by training only, and Adam remembers two averages per parameter.
# * *Results*: a prediction holds the input and the output of one layer at a time, whatever the depth.
# * *Saved by tanh*: training holds the output of every layer, $8 \cdot 512 \cdot 256$ numbers of 4 bytes. This part grows with the
#   batch and the depth, and is usually the greatest.

# %%
print("depth  prediction: results  training: saved")
for depth in (1, 2, 4, 8, 16):
    deeper = network(depth)
    report = memory_report(lambda net=deeper: F.cross_entropy(net(images), labels), deeper)
    print(f"{depth:5}  {report.results / 2**20:15.1f} MiB  {sum(report.saved.values()) / 2**20:11.1f} MiB")

# %% [markdown]
# The report is computed from what operations read and write. Python's own account of allocations confirms it; a step's peak is less
# than the sum, since backward frees what was saved while gradients come in.


# %%
def peak(function) -> float:
    """MiB that ``function`` allocates at most, beyond what there was."""
    optimizer.zero_grad()
    tracemalloc.start()
    function()
    top = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return top / 2**20


report = memory_report(loss, model, optimizer)
expected = (report.gradients + sum(report.saved.values())) / 2**20
print(f"prediction: {peak(predict):4.1f} MiB measured, {report.results / 2**20:4.1f} MiB reported")
print(f"training:   {peak(step):4.1f} MiB measured, {expected:4.1f} MiB reported")

# %% [markdown]
# ## From here
#
# Smaller batches with `Solver(..., iter_size=4)` give the gradient of the large batch with a quarter of the saved results. SGD instead
# of Adam saves two numbers per parameter. `tg.utils.checkpoint` keeps some of the results and computes the others again in backward.
