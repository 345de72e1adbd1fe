"""Connectionist temporal classification (Graves et al., 2006): a bidirectional network transcribes notes of unknown timing."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

BLANK, NOTES = 0, 4


class CNNLayerNorm(nn.Module):
    def __init__(self, n_feats):
        super().__init__()
        self.layer_norm = nn.LayerNorm(n_feats)

    def forward(self, x):
        x = x.transpose(1, 2).contiguous()
        x = self.layer_norm(x)
        return x.transpose(1, 2).contiguous()


class SpeechModel(nn.Module):
    def __init__(self, n_feats=8, rnn_dim=12):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv1d(n_feats, rnn_dim, 3, padding="same"), CNNLayerNorm(rnn_dim), nn.GELU())
        self.rnn = nn.LSTM(rnn_dim, rnn_dim, num_layers=2, bidirectional=True, batch_first=True)
        self.classifier = nn.Sequential(nn.Linear(2 * rnn_dim, rnn_dim), nn.Hardtanh(-3, 3), nn.Linear(rnn_dim, NOTES + 1))

    def forward(self, x):
        x = self.cnn(x).transpose(1, 2)
        x, _ = self.rnn(x)
        return F.log_softmax(self.classifier(x), dim=2)


def melodies(count, frames=20):
    """Spectrograms (count, 8, frames) of notes held for 2 to 4 frames, the notes padded with blanks, and how many."""
    spectrograms = 0.3 * torch.randn(count, 8, frames)
    labels = []
    for n in range(count):
        notes, t = [], 1
        while t < frames - 4:
            note, held = int(torch.randint(1, NOTES + 1, (1,))), int(torch.randint(2, 5, (1,)))
            spectrograms[n, 2 * note - 2 : 2 * note, t : t + held] += 1.0
            notes.append(note)
            t += held + 1
        labels.append(torch.tensor(notes))
    return spectrograms, pad_sequence(labels, batch_first=True, padding_value=BLANK), torch.tensor([len(n) for n in labels])


def greedy_decode(output):
    best = output.argmax(dim=2)
    return [[k for k in torch.unique_consecutive(row).tolist() if k != BLANK] for row in best]


def main(steps=80, batch=8):
    torch.manual_seed(107)
    model = SpeechModel()
    criterion = nn.CTCLoss(blank=BLANK, zero_infinity=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-2, steps_per_epoch=steps, epochs=1, anneal_strategy="linear")

    history = {"loss": []}
    for _ in range(steps):
        spectrograms, labels, label_lengths = melodies(batch)
        optimizer.zero_grad()
        output = model(spectrograms)
        input_lengths = torch.full((batch,), output.size(1), dtype=torch.long)
        loss = criterion(output.transpose(0, 1), labels, input_lengths, label_lengths)
        loss.backward()
        optimizer.step()
        scheduler.step()
        history["loss"].append(loss.item())

    model.eval()
    spectrograms, labels, label_lengths = melodies(4)
    with torch.no_grad():
        decoded = greedy_decode(model(spectrograms))
    wanted = [row[:n].tolist() for row, n in zip(labels, label_lengths)]
    history["right"] = [float(a == b) for a, b in zip(decoded, wanted)]
    return history


if __name__ == "__main__":
    history = main(steps=300)
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, {sum(history['right']):.0f} of 4 melodies right")
