"""Which operation, on which line of the user's code, makes a PyTorch gradient wrong. Imports torch."""

from gradcheck.blame.find import blame_subject, find_blame
from gradcheck.blame.result import BlameCost, BlameResult

__all__ = ["BlameCost", "BlameResult", "blame_subject", "find_blame"]
