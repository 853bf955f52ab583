"""The command line. Nothing heavy is imported before there is something to verify."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit status.

    0: every gradient is right. 1: a gradient is wrong. 2: bad usage, or a target could not be verified. 3:
    nothing is wrong, but something is inconclusive. 130 and 143: stopped by Ctrl-C, or asked to terminate;
    what was found so far is shown and written. 141: whatever read the output has gone away.
    """
    try:
        status = _status(arguments)
    except KeyboardInterrupt:
        print("gradcheck: stopped before anything was verified.", file=sys.stderr)
        status = 130
    sys.exit(status)


def _status(arguments: Sequence[str] | None) -> int:
    import click

    from gradcheck.cli.command import cli
    from gradcheck.errors import GradcheckError
    from gradcheck.shadow import hiding_module

    _print_anything()
    try:
        status = cli.main(arguments, prog_name="gradcheck", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except GradcheckError as error:
        click.echo(f"gradcheck: {error}", err=True)
        status = 2
    except SystemExit as error:  # ours is made below: code that was verified must not choose the status
        click.echo(f"gradcheck: what is verified ended the program (SystemExit: {error.code}).", err=True)
        status = 2
    except click.Abort:
        raise KeyboardInterrupt from None
    except OSError as error:  # standard output on a full disk, for example
        click.echo(f"gradcheck: {error}", err=True)
        status = 2
    except Exception as error:
        hidden = hiding_module(error)
        if hidden:
            click.echo(f"gradcheck: {hidden}", err=True)
            return 2
        traceback.print_exc()
        click.echo("gradcheck itself failed. Please report this, with the command and the above.", err=True)
        status = 2  # not 1, which says that a gradient is wrong
    return status or 0


def _print_anything() -> None:
    """Let names that the output's encoding cannot hold be printed escaped rather than end the run."""
    import io

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
