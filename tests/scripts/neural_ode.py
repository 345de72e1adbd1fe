"""A neural differential equation that learns a spiral (Chen et al., https://arxiv.org/abs/1806.07366), by Runge-Kutta steps."""

import torch
import torch.nn as nn
import torch.optim as optim


class ODEFunc(nn.Module):
    """The time derivative of the state (n, 2)."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 2))
        for m in self.net.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, mean=0, std=0.1)
                nn.init.constant_(m.bias, val=0)

    def forward(self, t, y):
        return self.net(y**3)


def rk4_step(func, t, dt, y):
    k1 = func(t, y)
    k2 = func(t + dt / 2, y + dt * k1 / 2)
    k3 = func(t + dt / 2, y + dt * k2 / 2)
    k4 = func(t + dt, y + dt * k3)
    return y + dt * (k1 + 2 * k2 + 2 * k3 + k4) / 6


def odeint(func, y0, t):
    """The states (len(t), *y0.shape) at the times ``t``, from ``y0`` at the first."""
    ys = [y0]
    for t0, t1 in zip(t[:-1], t[1:]):
        ys.append(rk4_step(func, t0, t1 - t0, ys[-1]))
    return torch.stack(ys)


def main(steps=150, batch=8, length=6):
    torch.manual_seed(7)
    true_A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
    true_y0 = torch.tensor([[2.0, 0.0]])
    t = torch.linspace(0.0, 5.0, 60)
    with torch.no_grad():
        true_y = odeint(lambda t, y: torch.mm(y**3, true_A), true_y0, t)

    func = ODEFunc()
    optimizer = optim.RMSprop(func.parameters(), lr=5e-3)
    history = {"loss": []}
    for _ in range(steps):
        start = torch.randperm(len(t) - length)[:batch]
        batch_y0 = true_y[start]
        batch_t = t[:length]
        batch_y = torch.stack([true_y[start + i] for i in range(length)], dim=0)
        optimizer.zero_grad()
        pred_y = odeint(func, batch_y0, batch_t)
        loss = torch.mean(torch.abs(pred_y - batch_y))
        loss.backward()
        optimizer.step()
        history["loss"].append(loss.item())

    end = true_y0.clone().requires_grad_()
    (sensitivity,) = torch.autograd.grad(odeint(func, end, t[:20])[-1].square().sum(), end)
    history["sensitivity"] = sensitivity[0].tolist()
    return history


if __name__ == "__main__":
    loss = main()["loss"]
    print(f"loss {loss[0]:.4f} -> {loss[-1]:.4f}")
