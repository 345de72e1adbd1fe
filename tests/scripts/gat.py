"""A graph attention network (Velickovic et al., https://arxiv.org/abs/1710.10903) that finds nodes near a hidden centre."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class GraphAttentionLayer(nn.Module):
    def __init__(self, in_features, out_features, n_heads, concat, dropout, leaky_relu_slope=0.2):
        super().__init__()
        self.n_heads, self.concat = n_heads, concat
        self.n_hidden = out_features // n_heads if concat else out_features
        self.W = nn.Parameter(torch.empty(in_features, self.n_hidden * n_heads))
        self.a = nn.Parameter(torch.empty(n_heads, 2 * self.n_hidden, 1))
        self.leakyrelu = nn.LeakyReLU(leaky_relu_slope)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_normal_(self.W)
        nn.init.xavier_normal_(self.a)

    def forward(self, h, adj):
        n_nodes = h.shape[0]
        h = torch.mm(h, self.W).view(n_nodes, self.n_heads, self.n_hidden).permute(1, 0, 2)
        source = torch.matmul(h, self.a[:, : self.n_hidden, :])
        target = torch.matmul(h, self.a[:, self.n_hidden :, :])
        e = self.leakyrelu(source + target.mT)
        attention = torch.where(adj > 0, e, -9e16 * torch.ones_like(e))
        attention = self.dropout(F.softmax(attention, dim=-1))
        h = torch.matmul(attention, h)
        if self.concat:
            return h.permute(1, 0, 2).contiguous().view(n_nodes, self.n_heads * self.n_hidden)
        return h.mean(dim=0)


class GAT(nn.Module):
    def __init__(self, in_features, n_hidden, n_heads, num_classes, dropout=0.2):
        super().__init__()
        self.gat1 = GraphAttentionLayer(in_features, n_hidden, n_heads, True, dropout)
        self.gat2 = GraphAttentionLayer(n_hidden, num_classes, 1, False, dropout)

    def forward(self, x, adj):
        x = F.elu(self.gat1(x, adj))
        return F.log_softmax(self.gat2(x, adj), dim=1)


def near_points(count):
    """Random points joined to their five nearest: adjacency, noisy features, and whether a point is near the middle."""
    points = torch.rand(count, 2)
    distance = torch.cdist(points, points)
    nearest = distance.topk(6, dim=1, largest=False).indices
    adj = torch.zeros(count, count).scatter_(1, nearest, 1.0)
    labels = ((points - 0.5).norm(dim=1) < 0.35).long()
    return (adj + adj.t() > 0).to(points.dtype), points + 0.03 * torch.randn(count, 2), labels


def main(epochs=200):
    torch.manual_seed(73)
    adj, features, labels = near_points(70)
    permuted = torch.randperm(70)
    train, test = permuted[:40], permuted[40:]
    model = GAT(2, 16, 4, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=5e-4)
    criterion = nn.NLLLoss(weight=torch.tensor([1.0, 1.5]))

    history = {"loss": [], "test_loss": []}
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        loss = criterion(model(features, adj)[train], labels[train])
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            history["test_loss"].append(criterion(model(features, adj)[test], labels[test]).item())
        history["loss"].append(loss.item())
    return history


if __name__ == "__main__":
    history = main()
    for name, values in history.items():
        print(f"{name} {values[0]:.3f} -> {values[-1]:.3f}")
