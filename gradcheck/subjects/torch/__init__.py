"""PyTorch modules, functions and custom Functions as subjects."""

from gradcheck.subjects.torch.subject import TorchSubject, make

__all__ = ["TorchSubject", "make"]
