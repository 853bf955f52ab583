"""NumPy programs with hand-written gradients, right and wrong."""

from cases.programs.mistakes import MISTAKES, Mistake
from cases.programs.program import NAMES, Program, program

__all__ = ["MISTAKES", "NAMES", "Mistake", "Program", "program"]
