"""Sequence to sequence with attention (Bahdanau et al., https://arxiv.org/abs/1409.0473): words spelt backwards."""

import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

PAD, SOS, EOS = 0, 1, 2
WORDS = "river stone cloud amber maple ember frost cedar birch delta ocean field grain light storm reed oak".split()


class EncoderRNN(nn.Module):
    def __init__(self, vocabulary, hidden_size):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden_size, padding_idx=PAD)
        self.gru = nn.GRU(hidden_size, hidden_size, bidirectional=True, batch_first=True)

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
        output, hidden = self.gru(packed)
        output, _ = pad_packed_sequence(output, batch_first=True)
        return output[..., : output.size(-1) // 2] + output[..., output.size(-1) // 2 :], hidden.sum(0)


class AttnDecoderRNN(nn.Module):
    def __init__(self, vocabulary, hidden_size):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden_size)
        self.Wa = nn.Linear(hidden_size, hidden_size)
        self.Ua = nn.Linear(hidden_size, hidden_size)
        self.Va = nn.Linear(hidden_size, 1)
        self.cell = nn.GRUCell(2 * hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, vocabulary)

    def forward(self, token, hidden, keys, padding):
        scores = self.Va(torch.tanh(self.Wa(hidden).unsqueeze(1) + self.Ua(keys))).squeeze(-1)
        weights = F.softmax(scores.masked_fill(padding, -torch.inf), dim=-1)
        context = torch.bmm(weights.unsqueeze(1), keys).squeeze(1)
        hidden = self.cell(torch.cat((self.embedding(token), context), dim=-1), hidden)
        return self.out(hidden), hidden, weights


def tensors(words):
    letters = sorted(set("".join(words)))
    index = {c: i + 3 for i, c in enumerate(letters)}
    forward = [torch.tensor([index[c] for c in w] + [EOS]) for w in words]
    backward = [torch.tensor([index[c] for c in reversed(w)] + [EOS]) for w in words]
    lengths = torch.tensor([len(t) for t in forward])
    return pad_sequence(forward, batch_first=True), lengths, pad_sequence(backward, batch_first=True), len(letters) + 3


def main(steps=60, teacher_forcing_ratio=0.5):
    torch.manual_seed(31)
    random.seed(31)
    source, lengths, target, vocabulary = tensors(WORDS)
    encoder, decoder = EncoderRNN(vocabulary, 24), AttnDecoderRNN(vocabulary, 24)
    optimizer = optim.NAdam([*encoder.parameters(), *decoder.parameters()], lr=5e-3)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    criterion = nn.CrossEntropyLoss(ignore_index=PAD)

    history = {"loss": [], "attention": []}
    for _ in range(steps):
        keys, hidden = encoder(source, lengths)
        token = torch.full((len(source),), SOS)
        forcing = random.random() < teacher_forcing_ratio
        logits = []
        for t in range(target.size(1)):
            output, hidden, weights = decoder(token, hidden, keys, source == PAD)
            logits.append(output)
            token = target[:, t] if forcing else output.topk(1)[1].squeeze(-1).detach()
        loss = criterion(torch.stack(logits, dim=2), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        history["loss"].append(loss.item())
        history["attention"].append(weights.max().item())
    return history


if __name__ == "__main__":
    loss = main()["loss"]
    print(f"loss {loss[0]:.3f} -> {loss[-1]:.3f}")
