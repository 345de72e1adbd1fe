"""Meta-learning of sine waves (Finn et al., https://arxiv.org/abs/1703.03400): gradients through a gradient step."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class Regressor(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.fc1 = nn.Linear(1, hidden)
        self.fc2 = nn.Linear(hidden, 1)

    def forward(self, x, params=None):
        p = dict(self.named_parameters()) if params is None else params
        x = torch.tanh(F.linear(x, p["fc1.weight"], p["fc1.bias"]))
        return F.linear(x, p["fc2.weight"], p["fc2.bias"])


def task(points=10):
    """Two batches of the same random sine wave."""
    amplitude, phase = 0.5 + 2 * torch.rand(1), 3 * torch.rand(1)
    x = 10 * torch.rand(2 * points, 1) - 5
    y = amplitude * torch.sin(x + phase)
    return x.chunk(2), y.chunk(2)


def adapted(model, x, y, lr, create_graph=True):
    params = dict(model.named_parameters())
    loss = F.mse_loss(model(x, params), y)
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=create_graph)
    return {name: p - lr * g for (name, p), g in zip(params.items(), grads)}, loss


def main(steps=100, tasks=4, inner_lr=0.05):
    torch.manual_seed(97)
    model = Regressor()
    meta_optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    history = {"before": [], "after": []}
    for _ in range(steps):
        meta_loss, before = 0.0, 0.0
        for _ in range(tasks):
            (x_train, x_test), (y_train, y_test) = task()
            params, first = adapted(model, x_train, y_train, inner_lr)
            meta_loss = meta_loss + F.mse_loss(model(x_test, params), y_test) / tasks
            before += first.item() / tasks
        meta_optimizer.zero_grad()
        meta_loss.backward()
        meta_optimizer.step()
        history["before"].append(before)
        history["after"].append(meta_loss.item())
    return history


if __name__ == "__main__":
    history = main(steps=1000)
    for name, values in history.items():
        print(f"{name} adaptation {sum(values[:50]) / 50:.3f} -> {sum(values[-50:]) / 50:.3f}")
