"""Around a prune: a penalty while training, a short training, BatchNorm statistics anew."""

from spa_kernel.training.finetune import Training, finetune
from spa_kernel.training.recalibrate import recalibrate
from spa_kernel.training.sparsity import Sparsity, sparsity

__all__ = ["Sparsity", "Training", "finetune", "recalibrate", "sparsity"]
