"""The exit codes, beside those that errors carry themselves: 0 done, 1 a fault of ours."""

USAGE = 2
UNFINISHED = 3
"""The work could not be finished; what there is, is kept and printed."""
INTERRUPTED = 130

INTERRUPTION = "interrupted"
"""Why a debate ended that was left before its end, in its record and to the person."""
