"""Optimal Brain SPA: pruning without fine-tuning, with or without data."""
