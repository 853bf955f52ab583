"""PyTorch modules, functions and custom Functions as subjects."""

from gradcheck.subjects.torch.second_order import SecondOrderSubject
from gradcheck.subjects.torch.subject import TorchSubject, make

__all__ = ["SecondOrderSubject", "TorchSubject", "make"]
