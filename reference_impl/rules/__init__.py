"""The table of operations: one row each, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from reference_impl.rules.activations import ACTIVATIONS
from reference_impl.rules.elementwise import ELEMENTWISE
from reference_impl.rules.linear import LINEAR
from reference_impl.rules.reductions import REDUCTIONS
from reference_impl.rules.rule import Like, Rule

RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.name: rule for group in (ELEMENTWISE, ACTIVATIONS, LINEAR, REDUCTIONS) for rule in group}
)

__all__ = ["RULES", "Like", "Rule"]
