"""Training with DataLoader, schedules, checkpoints and early stopping; an interrupted run goes on where it was."""

import os
import tempfile

import torch
import torch.nn as nn
from torch.optim import Adam
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, random_split


class Waves(Dataset):
    """Pairs of a frequency and phase, and the samples of their wave."""

    def __init__(self, count):
        self.params = torch.rand(count, 2)

    def __len__(self):
        return len(self.params)

    def __getitem__(self, index):
        frequency, phase = self.params[index]
        wave = torch.sin(2 * torch.pi * (frequency * torch.linspace(0, 1, 8) + phase))
        return {"params": self.params[index], "wave": wave}


def build():
    model = nn.Sequential(nn.Linear(2, 32), nn.Hardswish(), nn.BatchNorm1d(32), nn.Linear(32, 8))
    optimizer = Adam(model.parameters(), lr=0.02, amsgrad=True)
    return model, optimizer, ExponentialLR(optimizer, gamma=0.95), ReduceLROnPlateau(optimizer, factor=0.5, patience=1)


def run_epoch(model, loader, criterion, optimizer=None):
    model.train(optimizer is not None)
    total, losses = 0.0, []
    with torch.set_grad_enabled(optimizer is not None):
        for batch in loader:
            loss = criterion(model(batch["params"]), batch["wave"])
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            losses.append(loss.item())
            total += loss.item() * len(batch["wave"])
    return total / len(loader.dataset), losses


def main(epochs=12):
    torch.manual_seed(17)
    train_set, valid_set = random_split(Waves(160), [128, 32])
    train_loader = DataLoader(train_set, batch_size=16, shuffle=True, drop_last=True)
    valid_loader = DataLoader(valid_set, batch_size=32)
    criterion = nn.SmoothL1Loss(beta=0.5)
    model, optimizer, decay, plateau = build()

    history = {"loss": [], "valid_loss": [], "lr": []}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "checkpoint.pt")
        for epoch in range(epochs):
            if epoch == epochs // 2:  # a new process would begin like this
                model, optimizer, decay, plateau = build()
                checkpoint = torch.load(path)
                assert checkpoint["epoch"] == epoch - 1
                model.load_state_dict(checkpoint["model"])
                optimizer.load_state_dict(checkpoint["optimizer"])
                decay.load_state_dict(checkpoint["decay"])
                plateau.load_state_dict(checkpoint["plateau"])
            _, losses = run_epoch(model, train_loader, criterion, optimizer)
            valid_loss, _ = run_epoch(model, valid_loader, criterion)
            decay.step()
            plateau.step(valid_loss)
            history["loss"] += losses
            history["valid_loss"].append(valid_loss)
            history["lr"].append(optimizer.param_groups[0]["lr"])
            torch.save(
                {
                    "epoch": epoch,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "decay": decay.state_dict(),
                    "plateau": plateau.state_dict(),
                },
                path,
            )
    return history


if __name__ == "__main__":
    loss = main()["valid_loss"]
    print(f"validation loss {loss[0]:.4f} -> {loss[-1]:.4f}")
