"""PyTorch modules, functions and custom Functions as subjects."""

from gradcheck.subjects.torch.opening import Opened
from gradcheck.subjects.torch.second_order import SecondOrderSubject
from gradcheck.subjects.torch.subject import TorchSubject

__all__ = ["Opened", "SecondOrderSubject", "TorchSubject"]
