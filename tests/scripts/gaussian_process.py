"""Gaussian process regression: hyperparameters by the gradient of the marginal likelihood (Rasmussen and Williams, ch. 5)."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class GP(nn.Module):
    def __init__(self):
        super().__init__()
        self.raw_lengthscale = nn.Parameter(torch.tensor(0.0))
        self.raw_outputscale = nn.Parameter(torch.tensor(0.0))
        self.raw_noise = nn.Parameter(torch.tensor(-1.0))

    def kernel(self, a, b):
        """Squared exponential covariances (n, m) of inputs (n, d) and (m, d)."""
        squared = (a[:, None] - b[None]).div(F.softplus(self.raw_lengthscale)).square().sum(-1)
        return F.softplus(self.raw_outputscale) * torch.exp(-0.5 * squared)

    def factor(self, x):
        noise = F.softplus(self.raw_noise) + 1e-6
        return torch.linalg.cholesky(self.kernel(x, x) + noise * torch.eye(len(x)))

    def neg_log_likelihood(self, x, y):
        L = self.factor(x)
        alpha = torch.cholesky_solve(y.unsqueeze(-1), L).squeeze(-1)
        return 0.5 * y @ alpha + L.diagonal().log().sum() + 0.5 * len(x) * math.log(2 * math.pi)

    @torch.no_grad()
    def predict(self, x, y, x_new):
        """Mean and standard deviation (m,) at new inputs (m, d)."""
        L = self.factor(x)
        cross = self.kernel(x, x_new)
        mean = cross.T @ torch.cholesky_solve(y.unsqueeze(-1), L).squeeze(-1)
        v = torch.linalg.solve_triangular(L, cross, upper=False)
        variance = self.kernel(x_new, x_new).diag() - v.pow(2).sum(0)
        return mean, variance.clamp(min=0).sqrt()


def main(steps=60):
    torch.manual_seed(11)
    x = torch.linspace(0, 1, 25).unsqueeze(1)
    y = torch.sin(6 * x[:, 0]) + 0.1 * torch.randn(25)
    gp = GP()
    optimizer = optim.Adam(gp.parameters(), lr=0.1)

    history = {"loss": []}
    for _ in range(steps):
        optimizer.zero_grad()
        loss = gp.neg_log_likelihood(x, y)
        loss.backward()
        optimizer.step()
        history["loss"].append(loss.item())

    mean, std = gp.predict(x, y, torch.tensor([[0.25], [0.5], [1.2]]))
    history["mean"], history["std"] = mean.tolist(), std.tolist()
    history["lengthscale"] = [F.softplus(gp.raw_lengthscale).item()]
    return history


if __name__ == "__main__":
    history = main()
    print(f"negative log likelihood {history['loss'][0]:.2f} -> {history['loss'][-1]:.2f}, length scale {history['lengthscale'][0]:.3f}")
