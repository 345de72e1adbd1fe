"""Upscaling by sub-pixel convolution (Shi et al., https://arxiv.org/abs/1609.05158), beside bicubic interpolation."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.init as init
import torch.optim as optim


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 16, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(16, 8, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(8, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        self._initialize_weights()

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.pixel_shuffle(self.conv3(x))

    def _initialize_weights(self):
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight)


def waves(count, size=12):
    """Images (count, 1, size, size) of two superposed waves, values in [-1, 1]."""
    t = torch.linspace(0, 1, size)
    frequency = 1 + 2 * torch.rand(count, 2, 2, 1, 1)
    phase = 2 * math.pi * torch.rand(count, 2, 1, 1)
    angle = 2 * math.pi * (frequency[:, :, 0] * t[:, None] + frequency[:, :, 1] * t) + phase
    return torch.sin(angle).mean(dim=1, keepdim=True)


def main(steps=80, batch=8):
    torch.manual_seed(71)
    model = Net(upscale_factor=2)
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)

    history = {"loss": [], "bicubic": []}
    for _ in range(steps):
        target = waves(batch)
        input = F.avg_pool2d(target, 2)
        optimizer.zero_grad()
        loss = criterion(model(input), target)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            bicubic = F.interpolate(input, scale_factor=2, mode="bicubic", align_corners=False)
            history["bicubic"].append(criterion(bicubic, target).item())
        history["loss"].append(loss.item())
    return history


if __name__ == "__main__":
    history = main(steps=400)
    print(f"loss {history['loss'][0]:.4f} -> {history['loss'][-1]:.4f}, bicubic {history['bicubic'][-1]:.4f}")
