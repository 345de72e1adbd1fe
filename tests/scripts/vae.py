"""A variational autoencoder of small binary images (Kingma and Welling, https://arxiv.org/abs/1312.6114)."""

import torch
import torch.nn.functional as F
from torch import nn, optim


class VAE(nn.Module):
    def __init__(self, pixels=64, hidden=48, latent=4):
        super().__init__()
        self.fc1 = nn.Linear(pixels, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, pixels)

    def encode(self, x):
        h = F.relu(self.fc1(x))
        return self.fc21(h), self.fc22(h)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(x.size(0), -1))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def loss_function(reconstruction, x, mu, logvar):
    """Reconstruction error, and the divergence of the posterior from a standard normal law, summed over the batch."""
    bce = F.binary_cross_entropy(reconstruction, x.view(x.size(0), -1), reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce + kld


def discs(count):
    """Images (count, 1, 8, 8) of filled discs of random place and size."""
    grid = torch.arange(8.0)
    centre = 2 + 4 * torch.rand(count, 2, 1, 1)
    radius = 1 + 2 * torch.rand(count, 1, 1)
    squared = (grid[:, None] - centre[:, 0]) ** 2 + (grid - centre[:, 1]) ** 2
    return (squared < radius**2).to(torch.get_default_dtype()).unsqueeze(1)


def main(steps=300):
    torch.manual_seed(2)
    data = discs(64)
    model = VAE()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)

    history = {"loss": []}
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        reconstruction, mu, logvar = model(data)
        loss = loss_function(reconstruction, data, mu, logvar) / len(data)
        loss.backward()
        optimizer.step()
        history["loss"].append(loss.item())

    model.eval()
    with torch.no_grad():
        sample = model.decode(torch.randn(5, 4)).view(5, 1, 8, 8)
        history["sample"] = sample.flatten().tolist()
    return history


if __name__ == "__main__":
    loss = main()["loss"]
    print(f"negative evidence bound {loss[0]:.2f} -> {loss[-1]:.2f} nats an image")
