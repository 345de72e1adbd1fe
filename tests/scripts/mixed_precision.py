"""Training in bfloat16 with autocast, scaled gradients, recomputed activations and noisy labels; a writer collects the curves."""

import torch
import torch.nn as nn
from torch.utils.checkpoint import checkpoint


class Writer:
    """What of a TensorBoard writer the loop calls."""

    def __init__(self):
        self.scalars = {}

    def add_scalar(self, tag, value, step):
        self.scalars.setdefault(tag, []).append(float(value))


class ResidualMLP(nn.Module):
    def __init__(self, width=32, depth=3):
        super().__init__()
        self.inp = nn.Linear(8, width)
        self.blocks = nn.ModuleList([nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in range(depth)])
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        x = self.inp(x)
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        return self.out(x)


def main(steps=60, use_amp=True):
    torch.manual_seed(127)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.randn(64, 8, device=device)
    y = torch.sin(x[:, :1] * x[:, 1:2]) + 0.1 * torch.randn(64, 1, device=device)
    net = ResidualMLP().to(device)
    loss_fn = nn.HuberLoss(delta=0.5)
    opt = torch.optim.AdamW(net.parameters(), lr=3e-3)
    scaler = torch.amp.GradScaler(device, init_scale=2.0**10, growth_interval=20)
    writer = Writer()

    for step in range(steps):
        with torch.autocast(device_type=device, dtype=torch.bfloat16, enabled=use_amp):
            output = net(x)
            assert (output.dtype is torch.bfloat16) == use_amp
            loss = loss_fn(output, y.to(output.dtype))
        opt.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(opt)
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=1.0)
        scaler.step(opt)
        scaler.update()
        writer.add_scalar("loss", loss.item(), step)
        writer.add_scalar("norm", norm, step)
        writer.add_scalar("scale", scaler.get_scale(), step)
    assert all(p.dtype is torch.get_default_dtype() for p in net.parameters())
    return writer.scalars


if __name__ == "__main__":
    loss = main()["loss"]
    print(f"loss {loss[0]:.4f} -> {loss[-1]:.4f}")
