"""PyTorch modules, functions and custom Functions as subjects."""

from gradcheck.subjects.torch.opening import opened
from gradcheck.subjects.torch.second_order import SecondOrderSubject
from gradcheck.subjects.torch.subject import TorchSubject

__all__ = ["SecondOrderSubject", "TorchSubject", "opened"]
