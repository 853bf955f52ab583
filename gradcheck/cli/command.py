"""The commands and their options, and nothing else: what they do is imported when they run."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from gradcheck._version import __version__
from gradcheck.suggest import did_you_mean

EXAMPLES = """
\b
Examples:
  gradcheck verify                                the reference implementation, on generated cases
  gradcheck verify --cases 500 --seed 7 --family dag
  gradcheck verify my_model.py                    every @gradcheck.target in the file
  gradcheck verify my_model.py:attention pkg.module:target
  gradcheck verify my_engine.py:engine            an engine, on generated cases
  gradcheck verify --case counterexample.json     a saved case again
  gradcheck verify --each submissions/ grader.py  a folder of submissions, each in its own process

\b
Exit status:
  0    every gradient is right
  1    a gradient is wrong; with --each also: a submission could not be verified
  2    bad usage, or a target that could not be loaded or run
  3    nothing is wrong, but something is inconclusive
  130  stopped by Ctrl-C (143: by a request to terminate)
"""
PATH = click.Path(path_type=str)


class Group(click.Group):
    """A group that names the nearest command where one is unknown."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = did_you_mean(args[0], self.commands) or (
                f" To verify a target: gradcheck verify {args[0]}" if args[0].endswith(".py") else ""
            )
            ctx.fail(f"There is no command {args[0]!r}.{near}")
        return super().resolve_command(ctx, args)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="gradcheck %(version)s")
def cli() -> None:
    """Is the gradient right? If not: which entry, which operation, and what mistake."""


@cli.command(epilog=EXAMPLES)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--case", multiple=True, type=PATH, metavar="FILE", help="A saved case to verify again.")
@click.option("--cases", type=int, metavar="N", help="How many cases to generate.")
@click.option(
    "--family",
    multiple=True,
    metavar="NAME",
    help="Generate cases of this family only (may be repeated): mlp, dag, block, operation, kink or complex.",
)
@click.option("--seed", type=int, metavar="N", help="What random numbers start from; 0 if not given.")
@click.option("--jobs", "-j", type=int, metavar="N", help="How many processes to use; 1 if not given.")
@click.option("--order", type=int, metavar="1|2", help="2: also the gradient of <gradient, v>.")
@click.option("--rtol", type=float, metavar="X", help="Relative tolerance, in place of the dtype's.")
@click.option("--atol", type=float, metavar="X", help="Absolute tolerance, in place of the dtype's.")
@click.option(
    "--effort", metavar="probe|auto|every", help="Random directions, entries where affordable, or all."
)
@click.option(
    "--variations", multiple=True, metavar="NAME", help="Try this variation only (may be repeated)."
)
@click.option("--no-variations", is_flag=True, help="Verify under the given circumstances only.")
@click.option("--each", type=PATH, metavar="FOLDER", help="Verify each submission in it against the TARGET.")
@click.option("--only", multiple=True, metavar="NAME", help="This submission only (may be repeated).")
@click.option("--time-limit", type=float, metavar="SECONDS", help="For each submission; 60 if not given.")
@click.option("--json", type=PATH, metavar="FILE", help="Write all reports as JSON.")
@click.option("--junit", type=PATH, metavar="FILE", help="Write a JUnit report.")
@click.option("--html", type=PATH, metavar="FILE", help="Write a page with tables and plots.")
@click.option("--github", is_flag=True, help="Annotate lines and write a job summary for GitHub Actions.")
@click.option("--resume", is_flag=True, help="Go on where the same command was stopped or killed.")
@click.option("--baseline", type=PATH, metavar="FILE", help="Known discrepancies, which do not count.")
@click.option("--accept", metavar="REASON", help="Record what is found in the baseline, for this reason.")
@click.option("--allow-inconclusive", is_flag=True, help="Exit with status 0 where nothing is wrong.")
@click.option("--verbose", "-v", is_flag=True, help="Show every parameter, also those that are right.")
@click.pass_context
def verify(ctx: click.Context, /, **given: Any) -> None:
    """Verify gradients: of the targets in a file, of an engine, or of the reference implementation.

    A TARGET is a file, a module, or either with :NAME for one target or engine in it. Without one, those of
    [tool.gradcheck] in pyproject.toml are verified, or else the reference implementation.

    With --each FOLDER, every .py file and every folder in it is a submission, whose module is given to the
    TARGET as its only argument.
    """
    from gradcheck.cli.request import make_request
    from gradcheck.cli.verify import verify as run
    from gradcheck.configuration import find

    try:
        status = run(make_request(given, find()))
    except BrokenPipeError:  # click would leave with status 1, which says that a gradient is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush goes nowhere
        status = 141
    ctx.exit(status)
