"""A U-Net (Ronneberger et al., https://arxiv.org/abs/1505.04597) that segments discs, learned and interpolated upsampling."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class DoubleConv(nn.Sequential):
    def __init__(self, in_channels, out_channels):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.GroupNorm(2, out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.GroupNorm(2, out_channels),
            nn.ReLU(inplace=True),
        )


class Up(nn.Module):
    def __init__(self, in_channels, out_channels, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), nn.Conv2d(in_channels, in_channels // 2, 1))
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
        self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        dy, dx = x2.size(2) - x1.size(2), x2.size(3) - x1.size(3)
        x1 = F.pad(x1, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self, channels=1, classes=1, width=4):
        super().__init__()
        self.inc = DoubleConv(channels, width)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(width, width * 2))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(width * 2, width * 4))
        self.up1 = Up(width * 4, width * 2, bilinear=False)
        self.up2 = Up(width * 2, width, bilinear=True)
        self.outc = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        return self.outc(self.up2(self.up1(x3, x2), x1))


def dice_loss(logits, target, smooth=1.0):
    p = logits.sigmoid().flatten(1)
    t = target.flatten(1)
    overlap = (p * t).sum(-1)
    return 1 - ((2 * overlap + smooth) / (p.sum(-1) + t.sum(-1) + smooth)).mean()


def scenes(count, size=18):
    """Noisy images (count, 1, size, size) of a disc on a slope, and the disc's mask."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    cx, cy, r = torch.rand(3, count, 1, 1).unbind(0)
    mask = ((x - cx + 0.5).square() + (y - cy + 0.5).square() < (0.2 + 0.4 * r).square()).type(y.dtype)
    image = mask + 0.5 * x + 0.3 * torch.randn(count, size, size)
    return image.unsqueeze(1), mask.unsqueeze(1)


def main(steps=40, batch=4):
    torch.manual_seed(23)
    model = UNet()
    optimizer = torch.optim.Adamax(model.parameters(), lr=1e-2)
    bce = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0))

    history = {"loss": []}
    for _ in range(steps):
        images, masks = scenes(batch)
        optimizer.zero_grad(set_to_none=True)
        logits = model(images)
        loss = bce(logits, masks) + dice_loss(logits, masks)
        loss.backward()
        optimizer.step()
        history["loss"].append(loss.item())
    return history


if __name__ == "__main__":
    loss = main()["loss"]
    print(f"loss {loss[0]:.3f} -> {loss[-1]:.3f}")
