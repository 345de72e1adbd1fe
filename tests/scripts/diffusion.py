"""Denoising diffusion (Ho et al., https://arxiv.org/abs/2006.11239) of points on a ring, with averaged weights for sampling."""

import copy

import torch
import torch.nn as nn
import torch.nn.functional as F


class Denoiser(nn.Module):
    """Predicts the noise in points (n, 2) at steps (n,)."""

    def __init__(self, steps, width=32):
        super().__init__()
        self.time = nn.Embedding(steps, width)
        self.inp = nn.Linear(2, width)
        self.mid = nn.utils.parametrizations.weight_norm(nn.Linear(width, width))
        self.out = nn.Linear(width, 2)
        nn.init.zeros_(self.out.weight)

    def forward(self, x, t):
        h = F.silu(self.inp(x) + self.time(t))
        return self.out(F.silu(self.mid(h)) + h)


class Diffusion:
    def __init__(self, steps):
        self.steps = steps
        self.betas = torch.linspace(1e-4, 0.2, steps)
        self.alphas = 1 - self.betas
        self.alphas_cumprod = torch.cumprod(self.alphas, dim=0)

    def noisy(self, x0, t, noise):
        a = self.alphas_cumprod[t].unsqueeze(-1)
        return a.sqrt() * x0 + (1 - a).sqrt() * noise

    @torch.no_grad()
    def sample(self, model, count):
        x = torch.randn(count, 2)
        for i in reversed(range(self.steps)):
            t = torch.full((count,), i, dtype=torch.long)
            mean = (x - self.betas[i] / (1 - self.alphas_cumprod[i]).sqrt() * model(x, t)) / self.alphas[i].sqrt()
            x = mean + self.betas[i].sqrt() * torch.randn_like(x) if i > 0 else mean
        return x


def ring(count):
    angle = 2 * torch.pi * torch.rand(count)
    return torch.stack([angle.cos(), angle.sin()], dim=-1) + 0.03 * torch.randn(count, 2)


def main(iterations=200, batch=64):
    torch.manual_seed(53)
    diffusion = Diffusion(steps=20)
    model = Denoiser(diffusion.steps)
    ema = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)

    history = {"loss": []}
    for _ in range(iterations):
        x0 = ring(batch)
        t = torch.randint(0, diffusion.steps, (batch,))
        noise = torch.randn_like(x0)
        loss = F.mse_loss(model(diffusion.noisy(x0, t, noise), t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for averaged, p in zip(ema.parameters(), model.parameters()):
                averaged.lerp_(p, 0.05)
        history["loss"].append(loss.item())
    history["radius"] = diffusion.sample(ema, 6).norm(dim=-1).tolist()
    return history


if __name__ == "__main__":
    history = main(iterations=1500)
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, radii", *(f"{r:.2f}" for r in history["radius"]))
