"""A vision transformer (Dosovitskiy et al., https://arxiv.org/abs/2010.11929): patches, a class token, stochastic depth."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class EncoderBlock(nn.Module):
    def __init__(self, dim, heads, drop_path):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.drop_path = drop_path

    def dropped(self, x):
        """Whole samples of the residual set to 0 in training."""
        if not self.training or self.drop_path == 0:
            return x
        keep = torch.bernoulli(torch.full((x.shape[0], 1, 1), 1 - self.drop_path))
        return x * keep / (1 - self.drop_path)

    def forward(self, x):
        h = self.norm1(x)
        h, weights = self.attention(h, h, h)
        x = x + self.dropped(h)
        return x + self.dropped(self.mlp(self.norm2(x))), weights


class VisionTransformer(nn.Module):
    def __init__(self, size=12, patch=4, dim=16, depth=2, heads=4, classes=3):
        super().__init__()
        self.patches = nn.Conv2d(1, dim, kernel_size=patch, stride=patch)
        count = (size // patch) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embedding = nn.Parameter(torch.empty(1, count + 1, dim))
        rates = torch.linspace(0, 0.2, depth).tolist()
        self.blocks = nn.ModuleList([EncoderBlock(dim, heads, rate) for rate in rates])
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))
        nn.init.trunc_normal_(self.pos_embedding, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embedding
        for block in self.blocks:
            x, weights = block(x)
        return self.head(x[:, 0]), weights


def textures(count):
    """Images (count, 1, 12, 12) of stripes across, stripes down or a chequerboard, with noise."""
    labels = torch.randint(0, 3, (count,))
    i, j = torch.arange(12).view(12, 1), torch.arange(12)
    patterns = torch.stack([(i // 2 % 2).expand(12, 12), (j // 2 % 2).expand(12, 12), (i // 2 + j // 2) % 2])
    return patterns[labels].unsqueeze(1) + 0.5 * torch.randn(count, 1, 12, 12), labels


def mixup(images, labels, classes=3):
    """Images and one-hot labels mixed with those of other samples (Zhang et al., https://arxiv.org/abs/1710.09412)."""
    order = torch.randperm(len(images))
    weight = 0.7 + 0.3 * torch.rand(len(images))
    target = F.one_hot(labels, classes) * weight[:, None]
    target = target + F.one_hot(labels[order], classes) * (1 - weight)[:, None]
    weight = weight[:, None, None, None]
    return images * weight + images[order] * (1 - weight), target


def main(steps=80, batch=24):
    torch.manual_seed(83)
    model = VisionTransformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    criterion = nn.CrossEntropyLoss()

    history = {"loss": []}
    for _ in range(steps):
        images, target = mixup(*textures(batch))
        optimizer.zero_grad()
        logits, _ = model(images)
        loss = criterion(logits, target)
        loss.backward()
        optimizer.step()
        history["loss"].append(loss.item())

    model.eval()
    images, labels = textures(30)
    with torch.no_grad():
        logits, weights = model(images)
    history["attention"] = weights[0, 0].tolist()
    history["accuracy"] = [(logits.argmax(1) == labels).float().mean().item()]
    return history


if __name__ == "__main__":
    history = main()
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, accuracy {history['accuracy'][0]:.1%}")
