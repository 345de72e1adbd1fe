"""An encoder-decoder Transformer (Vaswani et al., https://arxiv.org/abs/1706.03762) that sorts digits; greedy decoding."""

import math

import torch
import torch.nn as nn

PAD, BOS, EOS = 10, 11, 12


class Seq2SeqTransformer(nn.Module):
    def __init__(self, vocabulary=13, d_model=16, nhead=2, layers=1):
        super().__init__()
        self.d_model = d_model
        self.src_tok_emb = nn.Embedding(vocabulary, d_model)
        self.tgt_tok_emb = nn.Embedding(vocabulary, d_model)
        self.positions = nn.Embedding(16, d_model)
        self.transformer = nn.Transformer(
            d_model=d_model, nhead=nhead, num_encoder_layers=layers, num_decoder_layers=layers, dim_feedforward=32, dropout=0.0
        )
        self.generator = nn.Linear(d_model, vocabulary)

    def embed(self, table, tokens):
        return table(tokens) * math.sqrt(self.d_model) + self.positions(torch.arange(len(tokens))).unsqueeze(1)

    def forward(self, src, tgt, src_padding_mask, tgt_padding_mask):
        tgt_mask = nn.Transformer.generate_square_subsequent_mask(len(tgt))
        outs = self.transformer(
            self.embed(self.src_tok_emb, src),
            self.embed(self.tgt_tok_emb, tgt),
            tgt_mask=tgt_mask,
            src_key_padding_mask=src_padding_mask,
            tgt_key_padding_mask=tgt_padding_mask,
            memory_key_padding_mask=src_padding_mask,
            tgt_is_causal=True,
        )
        return self.generator(outs)

    def encode(self, src):
        return self.transformer.encoder(self.embed(self.src_tok_emb, src))

    def decode(self, tgt, memory):
        tgt_mask = nn.Transformer.generate_square_subsequent_mask(len(tgt))
        return self.transformer.decoder(self.embed(self.tgt_tok_emb, tgt), memory, tgt_mask)


def digits(count, longest=6):
    """Random digits and the same sorted, with marks and padding: both (length, count)."""
    src = torch.randint(0, 10, (longest, count))
    lengths = torch.randint(2, longest + 1, (count,))
    padding = torch.arange(longest)[:, None] >= lengths
    src = src.masked_fill(padding, PAD)
    body, _ = src.sort(dim=0)
    tgt = torch.full((longest + 2, count), PAD)
    tgt[0] = BOS
    tgt[1:-1] = body
    tgt.scatter_(0, (lengths + 1).unsqueeze(0), EOS)
    return src, tgt


def padding_mask(tokens):
    """-inf where a sequence is padded, else 0: (count, length)."""
    tokens = tokens.transpose(0, 1)
    return torch.zeros(tokens.shape).masked_fill(tokens == PAD, float("-inf"))


@torch.no_grad()
def greedy_decode(model, src, max_len):
    model.eval()
    memory = model.encode(src)
    ys = torch.full((1, 1), BOS, dtype=torch.long)
    for _ in range(max_len - 1):
        out = model.decode(ys, memory).transpose(0, 1)
        next_word = model.generator(out[:, -1]).max(dim=1)[1].item()
        ys = torch.cat([ys, torch.ones(1, 1).type_as(src.data).fill_(next_word)], dim=0)
        if next_word == EOS:
            break
    return ys.flatten().tolist()


def main(steps=100, batch=32):
    torch.manual_seed(89)
    model = Seq2SeqTransformer()
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.xavier_uniform_(p)
    loss_fn = nn.CrossEntropyLoss(ignore_index=PAD)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, betas=(0.9, 0.98), eps=1e-9)

    history = {"loss": []}
    for _ in range(steps):
        src, tgt = digits(batch)
        tgt_input, tgt_out = tgt[:-1, :], tgt[1:, :]
        logits = model(src, tgt_input, padding_mask(src), padding_mask(tgt_input))
        optimizer.zero_grad()
        loss = loss_fn(logits.reshape(-1, logits.shape[-1]), tgt_out.reshape(-1))
        loss.backward()
        optimizer.step()
        history["loss"].append(loss.item())
    history["decoded"] = greedy_decode(model, torch.tensor([[7], [1], [5], [3]]), max_len=8)
    return history


if __name__ == "__main__":
    history = main(steps=600)
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}; 7 1 5 3 ->", *history["decoded"])
