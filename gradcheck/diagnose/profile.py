"""Where an error enters, read off the order of the parameters from input to output.

By the chain rule a mistake in the backward pass of a layer spoils that layer and everything before it, and
leaves what comes after it right.
"""

from __future__ import annotations

from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import listing


def enters_between(scene: Scene) -> tuple[str, str] | None:
    """Return (wrong, right): the last wrong parameter and the first right one after it.

    None where the wrong parameters are not all before the right ones.
    """
    order = scene.order if scene.ordered else ()
    wrong = [i for i, name in enumerate(order) if scene.samples[name].failing]
    right = [i for i, name in enumerate(order) if not scene.samples[name].failing]
    if not wrong or not right or max(wrong) > min(right):
        return None
    return order[max(wrong)], order[min(right)]


def profile(scene: Scene) -> str:
    """Say in one sentence what the pattern of right and wrong parameters tells; "" where it tells nothing."""
    order = scene.order if scene.ordered else ()
    wrong = [name for name in order if scene.samples[name].failing]
    right = [name for name in order if not scene.samples[name].failing]
    listed = "" if scene.facts.order else " (in the order in which they are listed)"
    if not wrong or not right:
        return ""
    if any(sample.failing for name, sample in scene.samples.items() if name not in order):
        return ""  # of inputs, which may enter anywhere
    between = enters_between(scene)
    if len(wrong) == 1:
        return _alone(wrong[0], order, listed)
    if between is not None and len(order) > 2:
        last, first = between
        return (
            f"Right from the output down to {first}, wrong from {last} on{listed}: the error enters "
            f"between them, where the backward pass goes from {first} to {last}, or in {last}'s own "
            "gradient."
        )
    return ""


def _alone(name: str, order: tuple[str, ...], listed: str) -> str:
    """Say where to look when one parameter is wrong: those further from the output vouch for the rest."""
    before, after = order[: order.index(name)], order[order.index(name) + 1 :]
    if before:
        verb = "is" if len(before) == 1 else "are"
        return (
            f"Only {name} is wrong, while {listing(before)}, further from the output{listed}, {verb} right: "
            f"the mistake is in {name}'s own gradient, not in what is passed on."
        )
    return (
        f"Only {name} is wrong, and everything from {after[0]} to the output{listed} is right: the mistake "
        f"is in {name}'s own gradient, or in the last step of the backward pass to it."
    )
