"""Planted faults: wrong twins of right derivatives, which a checker must catch and should explain."""

from __future__ import annotations

from cases.faults.fault import Fault, exposing, shows
from cases.faults.rules import rule_faults

__all__ = ["Fault", "exposing", "rule_faults", "shows"]
