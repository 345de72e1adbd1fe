"""A Wasserstein GAN with gradient penalty (Gulrajani et al., https://arxiv.org/abs/1704.00028): a second backward pass.

The critic's activation is an ``autograd.Function`` of our own, so the penalty also differentiates its backward.
"""

import torch
import torch.nn as nn
import torch.optim as optim
from torch import autograd


class BentIdentity(autograd.Function):
    """(sqrt(x^2 + 1) - 1) / 2 + x."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return ((x * x + 1).sqrt() - 1) / 2 + x

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * (x / (2 * (x * x + 1).sqrt()) + 1)


class Activation(nn.Module):
    def forward(self, x):
        return BentIdentity.apply(x)


def mlp(inputs, outputs, act, width=32):
    return nn.Sequential(nn.Linear(inputs, width), act(), nn.Linear(width, width), act(), nn.Linear(width, outputs))


def gaussians(count):
    """Points (count, 2) around eight centres on a circle."""
    angle = torch.randint(0, 8, (count,)) * (torch.pi / 4)
    return torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(count, 2)


def gradient_penalty(critic, real, fake, weight=10.0):
    alpha = torch.rand(real.size(0), 1).expand_as(real)
    interpolates = alpha * real + (1 - alpha) * fake
    interpolates = autograd.Variable(interpolates, requires_grad=True)
    scores = critic(interpolates)
    (gradients,) = autograd.grad(
        outputs=scores, inputs=interpolates, grad_outputs=torch.ones_like(scores), create_graph=True, retain_graph=True, only_inputs=True
    )
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean() * weight


def main(steps=50, batch=32, critic_steps=3):
    torch.manual_seed(29)
    generator, critic = mlp(4, 2, nn.Softplus), mlp(2, 1, Activation)
    optimizer_c = optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.9))
    optimizer_g = optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.9))

    history = {"critic": [], "generator": [], "penalty": []}
    for _ in range(steps):
        for p in critic.parameters():
            p.requires_grad = True
        for _ in range(critic_steps):
            real = gaussians(batch)
            with torch.no_grad():
                fake = generator(torch.randn(batch, 4))
            critic.zero_grad()
            penalty = gradient_penalty(critic, real, fake)
            cost = critic(fake).mean() - critic(real).mean() + penalty
            cost.backward()
            optimizer_c.step()
        for p in critic.parameters():
            p.requires_grad = False
        generator.zero_grad()
        loss = -critic(generator(torch.randn(batch, 4))).mean()
        loss.backward()
        optimizer_g.step()
        history["critic"].append(cost.item())
        history["generator"].append(loss.item())
        history["penalty"].append(penalty.item())
    return history


if __name__ == "__main__":
    history = main()
    print(f"critic's cost {history['critic'][0]:.3f} -> {history['critic'][-1]:.3f}, penalty {history['penalty'][0]:.3f} -> {history['penalty'][-1]:.3f}")
