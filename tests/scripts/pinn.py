"""A physics-informed network (Raissi et al., https://arxiv.org/abs/1711.10561): u'' + 4u = 0, u(0) = 1, u'(0) = 0."""

import torch
import torch.nn as nn


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(x)


def derivative(y, x):
    return torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)[0]


def main(steps=100):
    torch.manual_seed(41)
    net = nn.Sequential(nn.Linear(1, 16), Sine(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[steps // 2, steps * 3 // 4], gamma=0.3)
    start = torch.zeros(1, 1, requires_grad=True)

    history = {"loss": []}
    for _ in range(steps):
        t = (2 * torch.rand(32, 1)).requires_grad_()
        u = net(t)
        residual = derivative(derivative(u, t), t) + 4 * u
        u0 = net(start)
        loss = residual.square().mean() + (u0 - 1).square().sum() + derivative(u0, start).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        history["loss"].append(loss.item())

    times = torch.linspace(0, 2, 9).unsqueeze(1)
    with torch.no_grad():
        history["error"] = [(net(times) - torch.cos(2 * times)).abs().max().item()]
    return history


if __name__ == "__main__":
    history = main(steps=1500)
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.5f}, largest error {history['error'][0]:.3f}")
