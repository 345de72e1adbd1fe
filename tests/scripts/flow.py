"""A normalising flow of affine couplings (Dinh et al., https://arxiv.org/abs/1605.08803) fitted to two moons."""

import torch
from torch import nn
from torch.distributions import Independent, Normal


class Coupling(nn.Module):
    def __init__(self, mask, hidden=16):
        super().__init__()
        self.register_buffer("mask", mask)
        self.scale = nn.Sequential(nn.Linear(2, hidden), nn.LeakyReLU(), nn.Linear(hidden, 2), nn.Tanh())
        self.shift = nn.Sequential(nn.Linear(2, hidden), nn.LeakyReLU(), nn.Linear(hidden, 2))

    def forward(self, x):
        """The image (n, 2), and the logarithm of the volume's change (n,)."""
        kept = x * self.mask
        s = self.scale(kept) * (1 - self.mask)
        t = self.shift(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * (x * torch.exp(s) + t), s.sum(dim=1)

    def inverse(self, y):
        kept = y * self.mask
        s = self.scale(kept) * (1 - self.mask)
        t = self.shift(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * (y - t) * torch.exp(-s)


class Flow(nn.Module):
    def __init__(self, layers=4):
        super().__init__()
        masks = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])]
        self.couplings = nn.ModuleList(Coupling(masks[i % 2]) for i in range(layers))
        self.prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    def log_prob(self, x):
        total = torch.zeros(x.shape[0])
        for coupling in reversed(self.couplings):
            x, change = coupling(x)
            total = total + change
        return self.prior.log_prob(x) + total

    def sample(self, count):
        z = self.prior.sample((count,))
        for coupling in self.couplings:
            z = coupling.inverse(z)
        return z


def moons(count):
    t = torch.pi * torch.rand(count)
    upper = torch.arange(count) % 2 == 0
    x = torch.where(upper, torch.cos(t) - 0.5, 0.5 - torch.cos(t))
    y = torch.where(upper, torch.sin(t) - 0.25, 0.25 - torch.sin(t))
    return torch.stack((x, y), dim=-1) + 0.05 * torch.randn(count, 2)


def main(steps=120, batch=64):
    torch.manual_seed(43)
    flow = Flow()
    optimizer = torch.optim.RAdam(flow.parameters(), lr=1e-2, weight_decay=1e-5)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=40, T_mult=2)

    history = {"loss": []}
    for _ in range(steps):
        loss = -flow.log_prob(moons(batch)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        history["loss"].append(loss.item())
    with torch.no_grad():
        history["sample"] = flow.sample(4).flatten().tolist()
    return history


if __name__ == "__main__":
    loss = main()["loss"]
    print(f"negative log likelihood {loss[0]:.3f} -> {loss[-1]:.3f} nats a point")
