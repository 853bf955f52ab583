"""The pytest plugin: fixture ``gradcheck``, marker ``gradcheck``, targets as tests, a summary, reports.

Every pytest run on a machine with gradcheck installed loads this file, most of them to verify nothing. So
it imports nothing but pytest; what does the work is in ``gradcheck.plugin`` and comes when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from gradcheck.plugin.fixture import Verifier

TARGETS: pytest.StashKey[frozenset[Path]] = pytest.StashKey()
SEED: pytest.StashKey[int | None] = pytest.StashKey()

_INI = {
    "order": "1, or 2 to verify second derivatives as well",
    "rtol": "relative tolerance (default: by dtype)",
    "atol": "absolute tolerance (default: by dtype)",
    "effort": "probe, auto or every",
    "variations": "true, false, or names separated by commas",
    "seed": "seed of random directions",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the command line options and the keys of the ini file."""
    group = parser.getgroup("gradcheck", "gradcheck: are the gradients right?")
    group.addoption("--gradcheck-html", metavar="FILE", help="write what was verified to one HTML page")
    group.addoption("--gradcheck-json", metavar="FILE", help="write what was verified as JSON")
    group.addoption("--gradcheck-seed", metavar="N", help="verify with this seed, or with a 'random' one")
    parser.addini(
        "gradcheck_targets",
        type="args",
        default=[],
        help="files, or patterns such as models/*.py, whose @gradcheck.target functions are tests",
    )
    for name, meaning in _INI.items():
        parser.addini(f"gradcheck_{name}", default=None, help=f"gradcheck: {meaning}")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check what was asked for, and start the ledger of what is verified."""
    config.addinivalue_line(
        "markers",
        "gradcheck(**options): options of gradcheck.verify for the fixture and the targets below: "
        "order, rtol, atol, effort, variations, allow, seed, ...",
    )
    from gradcheck.plugin.ledger import Ledger

    if _is_asked(config):
        from gradcheck.plugin.settings import prepare

        prepare(config, tuple(_INI))
    config.pluginmanager.register(Ledger(config), "gradcheck-ledger")


def _is_asked(config: pytest.Config) -> bool:
    """Whether anything was asked for: most runs have nothing to check, and do not wait for it."""
    asked = [config.getoption(f"gradcheck_{name}") for name in ("html", "json", "seed")]
    asked += [config.getini(f"gradcheck_{name}") for name in ("targets", *_INI)]
    return any(asked) or hasattr(config, "workerinput")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give an xdist worker the seed, which may have been drawn here."""
    node.workerinput["gradcheck_seed"] = node.config.stash.get(SEED, None)


# A fixture that hypothesis does not call suspicious must not be function-scoped; which test is running is
# looked up at the call.
@pytest.fixture(scope="session")
def gradcheck(pytestconfig: pytest.Config) -> Verifier:
    """Verify a gradient: call it like gradcheck.verify; it raises unless the verdict is pass.

    Options come from the call, the marker @pytest.mark.gradcheck(...), the ini file, and [tool.gradcheck]
    in pyproject.toml, in this order.
    """
    from gradcheck.plugin.fixture import Verifier

    return Verifier(pytestconfig)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the targets of a file that ``gradcheck_targets`` names."""
    if file_path not in parent.config.stash.get(TARGETS, ()):
        return None
    from gradcheck.plugin.items import TargetFile

    return TargetFile.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Keep pytest from importing a file of targets a second time, as a module of tests that it is not."""
    if module_path not in parent.config.stash.get(TARGETS, ()):
        return None
    from gradcheck.plugin.items import without_tests

    return without_tests(module_path, parent)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print a line for each subject."""
    from gradcheck.plugin.ledger import ledger_of

    if ledger_of(config).entries:
        from gradcheck.plugin.summary import summarize

        summarize(terminalreporter, config)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int | pytest.ExitCode) -> Iterator[None]:
    """Write the reports that were asked for."""
    yield
    if session.config.getoption("gradcheck_html") or session.config.getoption("gradcheck_json"):
        from gradcheck.plugin.outputs import write_outputs

        write_outputs(session.config, complete=exitstatus != pytest.ExitCode.INTERRUPTED)
