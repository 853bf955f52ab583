"""PyTorch modules, functions and custom Functions as subjects."""

from gradcheck.subjects.torch.second_order import SecondOrderSubject
from gradcheck.subjects.torch.subject import TorchSubject, opened

__all__ = ["SecondOrderSubject", "TorchSubject", "opened"]
