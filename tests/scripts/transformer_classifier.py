"""A Transformer encoder over sequences of different lengths, with padding masks: is the bracket string balanced?"""

import math

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import LambdaLR

PAD, OPEN, CLOSE = 0, 1, 2


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=64):
        super().__init__()
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2] = torch.sin(position * div_term)
        pe[0, :, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return x + self.pe[:, : x.size(1)]


class Classifier(nn.Module):
    def __init__(self, d_model=16, nhead=2, layers=2):
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(3, d_model, padding_idx=PAD)
        self.position = PositionalEncoding(d_model)
        layer = nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward=32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(d_model), enable_nested_tensor=False)
        self.head = nn.Linear(d_model, 1)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def forward(self, tokens):
        padding = tokens == PAD
        x = self.position(self.embedding(tokens) * math.sqrt(self.d_model))
        x = self.encoder(x, src_key_padding_mask=padding)
        x = x.masked_fill(padding.unsqueeze(-1), 0.0).sum(dim=1) / (~padding).sum(dim=1, keepdim=True)
        return self.head(x).squeeze(-1)


def brackets(count):
    """Padded token strings (count, longest), and 1.0 for those in which every bracket closes."""
    strings, labels = [], []
    for i in range(count):
        half = int(torch.randint(1, 6, ()))
        opens = closes = 0
        string = []
        for step in torch.rand(2 * half).tolist():  # a random balanced string
            left, excess = half - opens, opens - closes
            opening = left > 0 and (excess == 0 or step < 0.5)
            opens, closes = opens + opening, closes + (not opening)
            string.append(OPEN if opening else CLOSE)
        if i % 2:
            flip = int(torch.randint(len(string), ()))
            string[flip] = OPEN + CLOSE - string[flip]
        strings.append(torch.tensor(string))
        labels.append(1.0 - i % 2)
    return pad_sequence(strings, batch_first=True, padding_value=PAD), torch.tensor(labels)


def main(steps=150, batch=32):
    torch.manual_seed(19)
    model = Classifier()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    warmup = 20
    scheduler = LambdaLR(optimizer, lambda step: model.d_model**-0.5 * 0.1 * min((step + 1) ** -0.5, (step + 1) * warmup**-1.5))

    history = {"loss": [], "lr": []}
    for _ in range(steps):
        tokens, labels = brackets(batch)
        optimizer.zero_grad()
        loss = criterion(model(tokens), labels)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        history["loss"].append(loss.item())
        history["lr"].append(scheduler.get_last_lr()[0])

    model.eval()
    tokens, labels = brackets(64)
    with torch.no_grad():
        logits = model(tokens)
    history["logits"] = logits.tolist()
    history["accuracy"] = [((logits > 0) == (labels > 0.5)).sum().item() / len(labels)]
    return history


if __name__ == "__main__":
    history = main()
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, accuracy {history['accuracy'][0]:.1%}")
