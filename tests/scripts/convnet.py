"""A convolutional network with batch normalisation and dropout that tells drawn shapes apart."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.optim.lr_scheduler import StepLR


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=3, stride=2)
        self.bn2 = nn.BatchNorm2d(16)
        self.dropout1 = nn.Dropout2d(0.25)
        self.fc1 = nn.Linear(16 * 2 * 2, 32)
        self.dropout2 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(32, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def shapes(count):
    """Images (count, 1, 12, 12) of a horizontal bar, a vertical bar or a square, with noise; and which it is."""
    images = 0.2 * torch.randn(count, 1, 12, 12)
    labels = torch.randint(0, 3, (count,))
    corners = torch.randint(0, 6, (count, 2))
    for image, label, (i, j) in zip(images, labels.tolist(), corners.tolist()):
        height, width = [(2, 6), (6, 2), (4, 4)][label]
        image[:, i : i + height, j : j + width] += 1.0
    return images, labels


def train(model, device, batches, optimizer):
    model.train()
    losses = []
    for data, target in batches:
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test(model, device, data, target):
    model.eval()
    with torch.no_grad():
        output = model(data.to(device))
        loss = F.nll_loss(output, target.to(device), reduction="sum").item() / len(data)
        pred = output.argmax(dim=1, keepdim=True)
        correct = pred.eq(target.to(device).view_as(pred)).sum().item()
    return loss, correct / len(data)


def main(epochs=8, batches=20):
    torch.manual_seed(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images, labels = shapes(batches * 32)
    held_out = shapes(60)
    model = Net().to(device)
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)

    history = {"loss": [], "test_loss": [], "accuracy": [], "lr": []}
    for _ in range(epochs):
        history["lr"] += scheduler.get_last_lr()
        history["loss"] += train(model, device, zip(images.split(32), labels.split(32)), optimizer)
        loss, accuracy = test(model, device, *held_out)
        history["test_loss"].append(loss)
        history["accuracy"].append(accuracy)
        scheduler.step()
    return history


if __name__ == "__main__":
    history = main()
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, test accuracy {history['accuracy'][-1]:.1%}")
