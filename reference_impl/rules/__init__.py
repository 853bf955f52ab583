"""The table of operations: one row each, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from reference_impl.rules.activations import ACTIVATIONS
from reference_impl.rules.convolution import CONVOLUTION
from reference_impl.rules.cross_entropy import CROSS_ENTROPY
from reference_impl.rules.elementwise import ELEMENTWISE
from reference_impl.rules.linear import LINEAR
from reference_impl.rules.losses import LOSSES
from reference_impl.rules.normalisation import NORMALISATION
from reference_impl.rules.pooling import POOLING
from reference_impl.rules.reductions import REDUCTIONS
from reference_impl.rules.rule import Like, Rule
from reference_impl.rules.shaping import SHAPING

_GROUPS = (
    ELEMENTWISE,
    ACTIVATIONS,
    LINEAR,
    CONVOLUTION,
    SHAPING,
    REDUCTIONS,
    NORMALISATION,
    POOLING,
    LOSSES,
    CROSS_ENTROPY,
)

RULES: Mapping[str, Rule] = MappingProxyType({rule.name: rule for group in _GROUPS for rule in group})

__all__ = ["RULES", "Like", "Rule"]
