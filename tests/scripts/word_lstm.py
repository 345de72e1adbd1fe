"""A word-level language model: LSTM with tied embeddings, truncated backpropagation, clipped gradients."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

TEXT = """
the river runs past the mill and the mill turns the stone . the stone grinds the grain and the grain feeds the town .
when the river is low the mill is still and the town waits for rain . when rain falls on the hills the river runs again .
the miller counts the sacks and the baker counts the loaves . the children count the days until the river runs again .
"""


class Corpus:
    def __init__(self, text):
        words = text.replace("\n", " <eos> ").split()
        self.idx2word = sorted(set(words))
        self.word2idx = {word: i for i, word in enumerate(self.idx2word)}
        self.ids = torch.tensor([self.word2idx[word] for word in words], dtype=torch.long)


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp, nlayers, dropout=0.2):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, ninp, nlayers)
        self.decoder = nn.Linear(ninp, ntoken)
        self.decoder.weight = self.encoder.weight
        self.init_weights()
        self.ninp, self.nlayers = ninp, nlayers

    def init_weights(self):
        initrange = 0.1
        nn.init.uniform_(self.encoder.weight, -initrange, initrange)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, input, hidden):
        emb = self.drop(self.encoder(input))
        output, hidden = self.rnn(emb, hidden)
        decoded = self.decoder(self.drop(output))
        return F.log_softmax(decoded.view(-1, decoded.size(-1)), dim=1), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return (weight.new_zeros(self.nlayers, bsz, self.ninp), weight.new_zeros(self.nlayers, bsz, self.ninp))


def batchify(data, bsz):
    nbatch = data.size(0) // bsz
    data = data.narrow(0, 0, nbatch * bsz)
    return data.view(bsz, -1).t().contiguous()


def repackage_hidden(h):
    """The hidden state without its history."""
    if isinstance(h, torch.Tensor):
        return h.detach()
    return tuple(repackage_hidden(v) for v in h)


def get_batch(source, i, bptt):
    seq_len = min(bptt, len(source) - 1 - i)
    return source[i : i + seq_len], source[i + 1 : i + 1 + seq_len].view(-1)


def evaluate(model, source, criterion, bptt):
    model.eval()
    total_loss = 0.0
    hidden = model.init_hidden(source.size(1))
    with torch.no_grad():
        for i in range(0, source.size(0) - 1, bptt):
            data, targets = get_batch(source, i, bptt)
            output, hidden = model(data, hidden)
            hidden = repackage_hidden(hidden)
            total_loss += len(data) * criterion(output, targets).item()
    return total_loss / (len(source) - 1)


def main(epochs=25, bptt=6):
    torch.manual_seed(1111)
    corpus = Corpus(TEXT)
    train_data = batchify(corpus.ids, 4)
    model = RNNModel(len(corpus.idx2word), ninp=24, nlayers=2)
    criterion = nn.NLLLoss()
    lr = 20.0

    history = {"loss": [], "norm": [], "eval": []}
    best = None
    for _ in range(epochs):
        model.train()
        hidden = model.init_hidden(4)
        for i in range(0, train_data.size(0) - 1, bptt):
            data, targets = get_batch(train_data, i, bptt)
            model.zero_grad()
            hidden = repackage_hidden(hidden)
            output, hidden = model(data, hidden)
            loss = criterion(output, targets)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            for p in model.parameters():
                p.data.add_(p.grad, alpha=-lr)
            history["loss"].append(loss.item())
            history["norm"].append(norm.item())
        val_loss = evaluate(model, train_data, criterion, bptt)
        if best is None or val_loss < best:
            best = val_loss
        else:
            lr /= 4.0
        history["eval"].append(val_loss)
    return history


if __name__ == "__main__":
    history = main()
    print(f"perplexity {math.exp(history['eval'][0]):.1f} -> {math.exp(history['eval'][-1]):.1f}")
