"""Semi-supervised classification of a graph's nodes (Kipf and Welling, https://arxiv.org/abs/1609.02907)."""

import math

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.nn.parameter import Parameter


class GraphConvolution(nn.Module):
    def __init__(self, in_features, out_features, bias=True):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(torch.empty(in_features, out_features))
        if bias:
            self.bias = Parameter(torch.empty(out_features))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        stdv = 1.0 / math.sqrt(self.weight.size(1))
        self.weight.data.uniform_(-stdv, stdv)
        if self.bias is not None:
            self.bias.data.uniform_(-stdv, stdv)

    def forward(self, input, adj):
        output = torch.mm(adj, torch.mm(input, self.weight))
        return output if self.bias is None else output + self.bias

    def extra_repr(self):
        return f"{self.in_features} -> {self.out_features}"


class GCN(nn.Module):
    def __init__(self, nfeat, nhid, nclass, dropout):
        super().__init__()
        self.gc1 = GraphConvolution(nfeat, nhid)
        self.gc2 = GraphConvolution(nhid, nclass)
        self.dropout = dropout

    def forward(self, x, adj):
        x = F.relu(self.gc1(x, adj))
        x = F.dropout(x, self.dropout, training=self.training)
        return F.log_softmax(self.gc2(x, adj), dim=1)


def communities(nodes, groups):
    """A random graph with denser groups: adjacency (n, n) normalised symmetrically, features (n, 8), groups (n,)."""
    labels = torch.arange(nodes) % groups
    chance = torch.where(labels[:, None] == labels, 0.3, 0.03)
    upper = torch.triu(torch.bernoulli(chance), diagonal=1)
    adj = upper + upper.T + torch.eye(nodes)
    degree = adj.sum(1).rsqrt()
    features = torch.randn(nodes, 8) + F.one_hot(labels, 8)
    return torch.einsum("i,ij,j->ij", degree, adj, degree), features, labels


def accuracy(output, labels):
    return output.max(1)[1].eq(labels).double().mean().item()


def main(epochs=60):
    torch.manual_seed(42)
    adj, features, labels = communities(nodes=60, groups=3)
    idx_train, idx_test = torch.arange(12), torch.arange(12, 60)
    model = GCN(features.shape[1], 16, int(labels.max().item()) + 1, dropout=0.5)
    optimizer = optim.Adam(model.parameters(), lr=0.02, weight_decay=5e-4)

    history = {"loss": [], "test_loss": [], "accuracy": []}
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        output = model(features, adj)
        loss = F.nll_loss(output[idx_train], labels[idx_train])
        loss.backward()
        optimizer.step()

        model.eval()
        with torch.inference_mode():
            output = model(features, adj)
            history["test_loss"].append(F.nll_loss(output[idx_test], labels[idx_test]).item())
            history["accuracy"].append(accuracy(output[idx_test], labels[idx_test]))
        history["loss"].append(loss.item())
    return history


if __name__ == "__main__":
    history = main()
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, accuracy on other nodes {history['accuracy'][-1]:.1%}")
