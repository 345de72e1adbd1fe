"""Siamese networks: one embedding trained by a contrastive loss (Hadsell et al., 2006), another by triplets."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class SiameseNetwork(nn.Module):
    def __init__(self, embedding=6):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3),
            nn.InstanceNorm2d(6, affine=True),
            nn.PReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 10, 3),
            nn.ELU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(40, 24), nn.SiLU(), nn.Linear(24, embedding))
        self.features.apply(self.init_weights)

    def init_weights(self, m):
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            m.bias.data.fill_(0.01)

    def forward_once(self, x):
        return F.normalize(self.fc(self.features(x)), dim=1)

    def forward(self, *inputs):
        return tuple(self.forward_once(x) for x in inputs)


class ContrastiveLoss(nn.Module):
    """Pulls pairs with label 1 together, pushes others apart up to the margin."""

    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, a, b, same):
        distance = F.pairwise_distance(a, b)
        return torch.mean(same * distance.pow(2) + (1 - same) * torch.clamp(self.margin - distance, min=0.0).pow(2))


def patterns(labels):
    """Images (n, 1, 12, 12): gratings whose direction tells the class, of random phase and with noise."""
    angle = labels * (torch.pi / 4)
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    phase = 2 * torch.pi * torch.rand(len(labels))
    waves = torch.cos(angle)[:, None, None] * x + torch.sin(angle)[:, None, None] * y
    image = torch.sin(waves + phase[:, None, None])
    return (image + 0.2 * torch.randn_like(image)).unsqueeze(1)


def main(steps=60, batch=16):
    torch.manual_seed(5)
    pairwise, triplet = SiameseNetwork(), SiameseNetwork()
    contrastive = ContrastiveLoss()
    margin = nn.TripletMarginLoss(margin=0.5, p=2)
    optimizer = optim.RMSprop([{"params": pairwise.parameters()}, {"params": triplet.parameters(), "lr": 2e-3}], lr=1e-3, momentum=0.5)

    history = {"contrastive": [], "triplet": []}
    for _ in range(steps):
        a = torch.randint(0, 4, (batch,))
        shift = torch.randint(1, 4, (batch,))
        same = torch.arange(batch) % 2
        b = torch.where(same.bool(), a, (a + shift) % 4)
        loss1 = contrastive(*pairwise(patterns(a), patterns(b)), same)
        loss2 = margin(*triplet(patterns(a), patterns(a), patterns((a + shift) % 4)))
        optimizer.zero_grad()
        (loss1 + loss2).backward()
        optimizer.step()
        history["contrastive"].append(loss1.item())
        history["triplet"].append(loss2.item())

    with torch.no_grad():
        labels = torch.arange(4).repeat(3)
        (embedded,) = pairwise(patterns(labels))
        history["distances"] = torch.cdist(embedded, embedded).flatten()[1:5].tolist()
        history["similarity"] = nn.CosineSimilarity(dim=1)(embedded[:4], embedded[4:8]).tolist()
    return history


if __name__ == "__main__":
    history = main()
    for name in ("contrastive", "triplet"):
        print(f"{name} loss {history[name][0]:.3f} -> {history[name][-1]:.3f}")
