"""What the command line and the pytest plugin verify: functions that return the arguments of ``verify``.

Declaring one, finding those in a file, and running one are three ideas, and each has its file. Nothing here
imports the libraries that a target may use.
"""

from gradcheck.targets.declare import Arguments, arguments, target
from gradcheck.targets.find import load, root_of, targets_in
from gradcheck.targets.record import Target
from gradcheck.targets.run import run_target

__all__ = ["Arguments", "Target", "arguments", "load", "root_of", "run_target", "target", "targets_in"]
