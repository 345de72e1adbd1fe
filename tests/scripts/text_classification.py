"""Bags of words of different lengths classified with EmbeddingBag, batches made by a collate function."""

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Subset

TOPICS = {
    "sea": "wave salt sail gull tide anchor harbour reef storm deck",
    "field": "wheat plough barn hay seed soil harvest fence cattle rain",
    "city": "tram street bridge market lamp square tower crowd station rain",
}


class Corpus(torch.utils.data.Dataset):
    """Random sentences of three topics, some words from another."""

    def __init__(self, count):
        vocabulary = sorted({w for words in TOPICS.values() for w in words.split()})
        self.stoi = {w: i for i, w in enumerate(vocabulary)}
        topics = [words.split() for words in TOPICS.values()]
        self.samples = []
        for topic in torch.randint(len(topics), (count,)).tolist():
            length = int(torch.randint(4, 9, ()))
            words = [topics[(topic + (noise > 0.8)) % 3][pick % 10] for noise, pick in zip(torch.rand(length), torch.randint(100, (length,)))]
            self.samples.append((topic, " ".join(words)))

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i]

    def collate(self, batch):
        labels, texts, offsets = [], [], [0]
        for label, text in batch:
            labels.append(label)
            processed = torch.tensor([self.stoi[w] for w in text.split()], dtype=torch.int64)
            texts.append(processed)
            offsets.append(processed.size(0))
        return torch.tensor(labels, dtype=torch.int64), torch.cat(texts), torch.tensor(offsets[:-1]).cumsum(dim=0)


class TextClassificationModel(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_class):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim, mode="mean", max_norm=3.0)
        self.interaction = nn.Bilinear(embed_dim, embed_dim, embed_dim)
        self.fc = nn.Linear(embed_dim, num_class)
        self.init_weights()

    def init_weights(self):
        initrange = 0.5
        self.embedding.weight.data.uniform_(-initrange, initrange)
        self.fc.weight.data.uniform_(-initrange, initrange)
        self.fc.bias.data.zero_()

    def forward(self, text, offsets):
        embedded = self.embedding(text, offsets)
        return self.fc(embedded + torch.tanh(self.interaction(embedded, embedded)))


def evaluate(model, dataloader):
    model.eval()
    total_acc, total_count = 0, 0
    with torch.no_grad():
        for label, text, offsets in dataloader:
            total_acc += (model(text, offsets).argmax(1) == label).sum().item()
            total_count += label.size(0)
    return total_acc / total_count


def main(epochs=8):
    torch.manual_seed(109)
    data = Corpus(160)
    train_loader = DataLoader(Subset(data, range(128)), batch_size=16, shuffle=True, collate_fn=data.collate)
    valid_loader = DataLoader(Subset(data, range(128, 160)), batch_size=16, collate_fn=data.collate)
    model = TextClassificationModel(len(data.stoi), 8, len(TOPICS))
    criterion = nn.MultiMarginLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)

    history = {"loss": [], "accuracy": []}
    for _ in range(epochs):
        model.train()
        for label, text, offsets in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(text, offsets), label)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            history["loss"].append(loss.item())
        scheduler.step()
        history["accuracy"].append(evaluate(model, valid_loader))
    return history


if __name__ == "__main__":
    history = main()
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, accuracy {history['accuracy'][-1]:.1%}")
