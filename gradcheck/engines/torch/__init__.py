"""The PyTorch engine."""

from gradcheck.engines.torch.engine import TorchEngine, to_tensor, twin

engine = TorchEngine()

__all__ = ["TorchEngine", "engine", "to_tensor", "twin"]
