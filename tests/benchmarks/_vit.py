"""A small vision transformer for Fashion-MNIST, and its training from scratch."""

from __future__ import annotations

import torch
from fashion import BATCH, Pictures
from torch import nn
from torch.nn import functional as F

EPOCHS = 8


def network(seed: int = 0) -> nn.Module:
    """Four blocks of width 96 on 16 patches of 7x7 pixels; 455,050 parameters."""
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(seed)
    return VisionTransformer(
        img_size=28, patch_size=7, in_chans=1, num_classes=10, embed_dim=96, depth=4, num_heads=4
    )


def train(model: nn.Module, pictures: Pictures, epochs: int = EPOCHS, seed: int = 0) -> None:
    """AdamW; the learning rate goes up and down once (one cycle). Mirrored at random."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), 1.5e-3, weight_decay=0.05)
    steps = -(-len(pictures.y) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, epochs * steps, pct_start=0.2)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(pictures.y), generator=generator).split(BATCH):
            x, y = pictures.x[rows], pictures.y[rows]
            mirrored = torch.rand(len(rows), generator=generator) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1} of {epochs}: loss {total / steps:.3f}", flush=True)
    model.eval()
