"""Power: the planted faults, one wrong entry among many, and errors of every size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import gradcheck
from benchmarks.faults import NUMPY, RULES, Tried, numpy_faults, torch_faults
from benchmarks.pairs import Array, Pair
from benchmarks.peers import CAUGHT, NOT_TAKEN, PEERS, UNDECIDED, Answer, Peer, ask, passes
from benchmarks.power import CHECKERS, Row
from benchmarks.record import Bar, Plot, Result, Table, share

SIZES = (32, 256, 2048, 32_768, 1_000_000)
ERRORS = tuple(10.0**-k for k in range(1, 11))
TRIALS = 5
# How large a gradient each can take in minutes: those that go entry by entry need n evaluations of n numbers.
MOST = {"numdifftools": 300, "scipy": 40_000, "hand-rolled": 40_000, "torch slow": 40_000}


def measure(quick: bool) -> Result:
    torch_rows, tried = torch_faults(quick), numpy_faults(quick)
    needles = _needles(SIZES[:2] if quick else SIZES, 2 if quick else TRIALS)
    errors = _errors(2 if quick else TRIALS)
    caught = sum(r.caught("gradcheck") for r in torch_rows) + sum(_caught(t, "gradcheck") for t in tried)
    covered = [r for r in torch_rows if not r.needs] + [t for t in tried if not t.pair.needs]
    of_covered = sum(
        r.caught("gradcheck") if isinstance(r, Row) else _caught(r, "gradcheck") for r in covered
    )
    undecided = sum(r.wrong["gradcheck"].outcome == "inconclusive" for r in torch_rows)
    undecided += sum(t.wrong["gradcheck"].outcome == UNDECIDED for t in tried)
    total = len(torch_rows) + len(tried)
    return Result(
        tables=(
            _torch_table(torch_rows),
            _numpy_table(NUMPY, tried),
            _numpy_table(RULES, tried),
            _curve("One wrong entry among n: share of trials in which it is caught", "n", needles),
            _curve("Every entry too large by a relative error: share of trials caught", "error", errors),
            Table("How each is asked", ("checker", "how"), [(p.name, p.how) for p in PEERS]),
        ),
        bars=(
            Bar("planted faults caught, share of the whole suite", caught / total, 0.98, at_least=True),
            Bar(
                "of those that need nothing but a call", of_covered / max(len(covered), 1), 1.0, at_least=True
            ),
            Bar("planted faults left inconclusive, share", undecided / total, 0.01),
        ),
        plots=(
            Plot(
                "needle",
                "One wrong entry among n",
                "entries of the gradient",
                "share caught",
                list(needles),
                _series(needles),
                logy=False,
            ),
            Plot(
                "error",
                "Every entry too large by a relative error",
                "relative error",
                "share caught",
                list(errors),
                _series(errors),
                logy=False,
            ),
        ),
        exceptions=[*_missed_in_torch(torch_rows), *_missed_in_numpy(tried)],
        data={
            "faults": total,
            "torch": len(torch_rows),
            "numpy": sum(t.suite == NUMPY for t in tried),
            "rules": sum(t.suite == RULES for t in tried),
            "caught": caught,
            "step": len(SIZES),
        },
    )


def _caught(tried: Tried, peer: str) -> bool:
    return tried.wrong[peer].outcome == CAUGHT


def _torch_table(rows: tuple[Row, ...]) -> Table:
    def line(name: str, some: list[Row]) -> list[str | int]:
        return [
            name,
            len(some),
            *(_of_taken([(r.wrong[c].outcome, r.caught(c)) for r in some]) for c in CHECKERS),
        ]

    families = dict.fromkeys(row.family for row in rows)
    lines = [line(family, [r for r in rows if r.family == family]) for family in families]
    return Table(
        "Faults in PyTorch code, caught of those taken",
        ("class", "faults", *CHECKERS),
        [*lines, line("all", list(rows))],
        "JAX, HIPS autograd, scipy and numdifftools do not take PyTorch code, and torch's gradcheck not "
        "float32.",
    )


def _of_taken(answers: list[tuple[str, bool]]) -> str:
    taken = [caught for outcome, caught in answers if outcome != NOT_TAKEN]
    return share(sum(taken), len(taken))


def _numpy_table(suite: str, tried: tuple[Tried, ...]) -> Table:
    of_suite = [t for t in tried if t.suite == suite]

    def line(name: str, some: list[Tried]) -> list[str | int]:
        return [
            name,
            len(some),
            *(_of_taken([(t.wrong[p.name].outcome, _caught(t, p.name)) for t in some]) for p in PEERS),
        ]

    families = dict.fromkeys(t.pair.family for t in of_suite)
    lines = [line(family, [t for t in of_suite if t.pair.family == family]) for family in families]
    return Table(
        f"Faults in {suite}, caught of those taken",
        ("kind", "faults", *(peer.name for peer in PEERS)),
        [*lines, line("all", of_suite)],
        "PyTorch itself adds up a gradient that was not summed over broadcast axes: by the time that torch's "
        "gradcheck sees it, it is right.",
    )


def _missed_in_torch(rows: tuple[Row, ...]) -> list[str]:
    missed = [r for r in rows if not r.caught("gradcheck")]
    return [f"missed ({r.wrong['gradcheck'].outcome}): {r.family}: {r.fault}" for r in missed]


def _missed_in_numpy(tried: tuple[Tried, ...]) -> list[str]:
    missed = [t for t in tried if not _caught(t, "gradcheck")]
    return [f"missed ({t.wrong['gradcheck'].outcome}): {t.suite}: {t.pair.name}" for t in missed]


def sine(n: int, change: Callable[[Array], Array], seed: int) -> Pair:
    """Return the pair of sum(w sin x), its gradient w cos x passed through ``change``."""
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal(n), rng.standard_normal(n)

    def loss(x: Array) -> float:
        return float(w @ np.sin(x))

    def gradient(x: Array) -> Array:
        return change(w * np.cos(x))

    return Pair(
        "sine",
        f"sine of {n}",
        (x,),
        loss,
        lambda x: [gradient(x)],
        lambda: gradcheck.verify(loss, x.copy(), gradient=gradient),
    )


def _doubled(at: int) -> Callable[[Array], Array]:
    def change(gradient: Array) -> Array:
        gradient[at] *= 2
        return gradient

    return change


Shares = dict[float, dict[str, list[Answer]]]


def _needles(sizes: tuple[int, ...], trials: int) -> Shares:
    return {
        n: _ask_all(n, [sine(n, _doubled((k * 7919 + n // 3) % n), k) for k in range(trials)]) for n in sizes
    }


def _errors(trials: int, n: int = 64) -> Shares:
    found: Shares = {}
    for error in ERRORS:
        pairs = [sine(n, lambda g, e=error: g * (1 + e), k) for k in range(trials)]  # type: ignore[misc]
        found[error] = {NOTED.name: [ask(NOTED, pair) for pair in pairs], **_ask_all(n, pairs)}
    return found


def _ask_all(n: int, pairs: list[Pair]) -> dict[str, list[Answer]]:
    found = {}
    for peer in PEERS:
        # the answer does not hang on luck where every entry is looked at, and takes long
        asked = pairs if n < 10_000 or peer.name not in MOST else pairs[:1]
        skip = n > MOST.get(peer.name, n)
        found[peer.name] = [Answer(NOT_TAKEN) if skip else ask(peer, pair) for pair in asked]
    return found


# where a gradient is within tolerance, but off by more than the estimate's uncertainty, the report says so
NOTED = Peer("gradcheck: caught or noted", "", lambda pair: passes(pair.verify(), about_precision=True))


def _share_of(answers: list[Answer]) -> float | None:
    taken = [a.outcome == CAUGHT for a in answers if a.outcome != NOT_TAKEN]
    return sum(taken) / len(taken) if taken else None


def _series(shares: Shares) -> dict[str, list[float | None]]:
    names = next(iter(shares.values()))
    return {name: [_share_of(at[name]) for at in shares.values()] for name in names}


def _curve(title: str, what: str, shares: Shares) -> Table:
    names = next(iter(shares.values()))
    rows = [[x, *(_share_of(at[name]) for name in names)] for x, at in shares.items()]
    note = (
        "sum(w sin x) over random w and x. A dash: not taken, as it would take hours or a matrix of n by n."
    )
    return Table(title, (what, *names), rows, note)
