"""Is the gradient right? If not: which entry, which operation, and what mistake.

The only door. A name is loaded when it is first asked for, so that importing gradcheck costs nothing: a
pytest run or ``gradcheck --help`` must not wait for PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcheck._version import __version__

if TYPE_CHECKING:
    from gradcheck import strategies
    from gradcheck.engines.base import Engine
    from gradcheck.errors import EngineError, GradcheckError, GradientMismatch, TargetError, UsageError
    from gradcheck.report.records import (
        Blame,
        Comparison,
        Cost,
        Diagnosis,
        ParameterResult,
        Report,
        VariationResult,
        Verdict,
    )
    from gradcheck.targets import arguments, target
    from gradcheck.verification import verify, verify_case

__all__ = [
    "Blame",
    "Comparison",
    "Cost",
    "Diagnosis",
    "Engine",
    "EngineError",
    "GradcheckError",
    "GradientMismatch",
    "ParameterResult",
    "Report",
    "TargetError",
    "UsageError",
    "VariationResult",
    "Verdict",
    "__version__",
    "arguments",
    "strategies",
    "target",
    "verify",
    "verify_case",
]

_HOMES = {
    "Blame": "gradcheck.report.records",
    "Comparison": "gradcheck.report.records",
    "Cost": "gradcheck.report.records",
    "Diagnosis": "gradcheck.report.records",
    "Engine": "gradcheck.engines.base",
    "EngineError": "gradcheck.errors",
    "GradcheckError": "gradcheck.errors",
    "GradientMismatch": "gradcheck.errors",
    "ParameterResult": "gradcheck.report.records",
    "Report": "gradcheck.report.records",
    "TargetError": "gradcheck.errors",
    "UsageError": "gradcheck.errors",
    "VariationResult": "gradcheck.report.records",
    "Verdict": "gradcheck.report.records",
    "arguments": "gradcheck.targets",
    "strategies": "gradcheck.strategies",
    "target": "gradcheck.targets",
    "verify": "gradcheck.verification",
    "verify_case": "gradcheck.verification",
}


def __getattr__(name: str) -> Any:
    """Load a public name from where it lives, once."""
    if name not in _HOMES:
        from gradcheck.suggest import did_you_mean

        raise AttributeError(f"module 'gradcheck' has no attribute {name!r}.{did_you_mean(name, __all__)}")
    from importlib import import_module

    home = import_module(_HOMES[name])
    value = home if _HOMES[name] == f"gradcheck.{name}" else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
