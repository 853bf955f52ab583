"""What mistake explains a wrong gradient? Pure functions on NumPy arrays."""

from gradcheck.diagnose.evidence import Contributions, Discrepancy, Facts
from gradcheck.diagnose.explain import Findings, diagnose
from gradcheck.diagnose.kinds import KINDS
from gradcheck.diagnose.shape import shape_message

__all__ = ["KINDS", "Contributions", "Discrepancy", "Facts", "Findings", "diagnose", "shape_message"]
