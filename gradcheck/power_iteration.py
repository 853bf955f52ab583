"""Weights whose spectral norm PyTorch takes: their gradient is that for singular vectors held constant.

In training ``torch.nn.utils`` refines the singular vectors by a step of power iteration before every forward
pass, without grad mode. Until they have converged the outputs depend on the weight by way of them as well,
which the gradient leaves out by design. Where such a gradient is accepted, every other operation is right.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.nn import Module
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm

from gradcheck import findings
from gradcheck.blame import BlameResult
from gradcheck.pipeline import Outcome
from gradcheck.subjects.torch import TorchSubject
from gradcheck.subjects.torch.state import within

_NOTE = (
    "the gradient for singular vectors held constant, as PyTorch's spectral norm means it: in training a "
    "step of power iteration moves them; every other operation is right"
)


def accept(subject: TorchSubject, outcome: Outcome, found: BlameResult) -> None:
    """Let leaves pass that are wrong by the power iteration alone, with a note."""
    if len(found.cuts) != len(found.blames):
        return
    names = _refined(subject)
    failing = outcome.failing
    if not failing or not names.issuperset(failing):
        return
    for name in failing:
        finding = outcome.findings[name]
        findings.excuse(finding, _NOTE)
        finding.holds_constant = True


def _refined(subject: TorchSubject) -> frozenset[str]:
    """Return the names of the weights whose singular vectors a forward pass refines."""
    return frozenset(
        f"{path}.{name}" if path else name
        for path, module in within(subject.modules).items()
        for name in _weights(module)
    )


def _weights(module: Module) -> Iterator[str]:
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm) and module.training:
            yield f"{hook.name}_orig"
    if parametrize.is_parametrized(module):
        for name, parametrizations in module.parametrizations.items():  # type: ignore[union-attr,operator]  # a ModuleDict
            if any(type(p).__name__ == "_SpectralNorm" and p.training for p in parametrizations):
                yield f"parametrizations.{name}.original"
