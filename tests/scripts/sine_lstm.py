"""Prediction of sine waves with LSTM cells, trained by L-BFGS on the whole batch, continued on its own predictions."""

import math

import torch
import torch.nn as nn
import torch.optim as optim


class Sequence(nn.Module):
    def __init__(self, hidden=12):
        super().__init__()
        self.hidden = hidden
        self.lstm1 = nn.LSTMCell(1, hidden)
        self.lstm2 = nn.LSTMCell(hidden, hidden)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, input, future=0):
        outputs = []
        h_t = torch.zeros(input.size(0), self.hidden, dtype=torch.double)
        c_t = torch.zeros(input.size(0), self.hidden, dtype=torch.double)
        h_t2 = torch.zeros(input.size(0), self.hidden, dtype=torch.double)
        c_t2 = torch.zeros(input.size(0), self.hidden, dtype=torch.double)

        for input_t in input.split(1, dim=1):
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        for _ in range(future):  # from here on its own predictions
            h_t, c_t = self.lstm1(output, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        return torch.cat(outputs, dim=1)


def main(steps=6, max_iter=8):
    torch.manual_seed(0)
    phase = 2 * math.pi * torch.rand(6, 1, dtype=torch.double)
    data = torch.sin(phase + 0.4 * torch.arange(25, dtype=torch.double))
    input, target = data[1:, :-1], data[1:, 1:]
    test_input, test_target = data[:1, :-1], data[:1, 1:]

    seq = Sequence()
    seq.double()
    criterion = nn.MSELoss()
    optimizer = optim.LBFGS(seq.parameters(), lr=0.8, max_iter=max_iter)

    history = {"loss": [], "test_loss": []}

    def closure():
        optimizer.zero_grad()
        loss = criterion(seq(input), target)
        loss.backward()
        history["loss"].append(loss.item())
        return loss

    for _ in range(steps):
        optimizer.step(closure)
        with torch.no_grad():
            pred = seq(test_input, future=10)
            history["test_loss"].append(criterion(pred[:, :-10], test_target).item())
    history["future"] = pred[0, -10:].tolist()
    return history


if __name__ == "__main__":
    loss = main(steps=15, max_iter=20)["loss"]
    print(f"loss {loss[0]:.4f} -> {loss[-1]:.6f} in {len(loss)} evaluations")
