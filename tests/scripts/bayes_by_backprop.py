"""Regression with distributions over the weights (Blundell et al., https://arxiv.org/abs/1505.05424)."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence


class BayesianLinear(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.weight_mu = nn.Parameter(torch.empty(out_features, in_features).normal_(0, 0.3))
        self.weight_rho = nn.Parameter(torch.full((out_features, in_features), -3.0))
        self.bias_mu = nn.Parameter(torch.zeros(out_features))
        self.bias_rho = nn.Parameter(torch.full((out_features,), -3.0))

    def forward(self, x):
        weight = Normal(self.weight_mu, F.softplus(self.weight_rho))
        bias = Normal(self.bias_mu, F.softplus(self.bias_rho))
        prior = Normal(0.0, 1.0)
        self.kl = kl_divergence(weight, prior).sum() + kl_divergence(bias, prior).sum()
        return F.linear(x, weight.rsample(), bias.rsample())


class BayesianMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([BayesianLinear(1, 16), BayesianLinear(16, 2)])

    def forward(self, x):
        mean, raw = self.layers[1](torch.tanh(self.layers[0](x))).chunk(2, dim=-1)
        return Normal(mean, F.softplus(raw) + 0.01)

    def kl(self):
        return sum(layer.kl for layer in self.layers)


def main(steps=200):
    torch.manual_seed(47)
    x = torch.linspace(-2, 2, 40).unsqueeze(1)
    y = torch.sin(2 * x) + 0.1 * torch.randn_like(x)
    net = BayesianMLP()
    optimizer = torch.optim.Adagrad(net.parameters(), lr=0.1)

    history = {"loss": [], "kl": []}
    for _ in range(steps):
        optimizer.zero_grad()
        likelihood = net(x).log_prob(y).sum()
        loss = (net.kl() - likelihood) / len(x)
        loss.backward()
        optimizer.step()
        history["loss"].append(loss.item())
        history["kl"].append(net.kl().item())
    return history


if __name__ == "__main__":
    loss = main()["loss"]
    print(f"negative evidence bound {loss[0]:.3f} -> {loss[-1]:.3f} nats a point")
