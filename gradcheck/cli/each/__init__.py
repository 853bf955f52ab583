"""A folder of submissions against one file of targets, each submission in a process of its own.

A submission is code that nobody has read: it may crash, hang, exit or print without end, and then it is a row
of the table like any other. The processes keep accidents apart; they are no sandbox.
"""
