"""Counting ranked ballots: Borda points and Schulze's strongest paths.

Options are numbered from 0. A ballot is a list of groups of options, best group first; options within a group are tied,
and every option stands in exactly one group.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

Ballot = Sequence[Sequence[int]]


def borda(ballots: Sequence[Ballot], options: int) -> list[float]:
    """Return each option's Borda points: one for every option ranked below it, half of one for every option tied.

    A single option has nothing below it and gets one point a ballot.
    """
    if options == 1:
        return [float(len(ballots))]
    points = [0.0] * options
    for ballot in ballots:
        below = options
        for group in ballot:
            below -= len(group)
            for option in group:
                points[option] += below + (len(group) - 1) / 2
    return points


def schulze(ballots: Sequence[Ballot], options: int) -> list[float]:
    """Return how many other options each one beats by its strongest path.

    An option that beats another beats all that the other beats, so the counts order the options as the method does; an
    option that wins every pairwise vote (a Condorcet winner) beats all others. A single option counts one.

    Source: Schulze, "A new monotonic, clone-independent, reversal symmetric, and condorcet-consistent single-winner
    election method", Social Choice and Welfare 36 (2011), section 2.3, path strength measured by winning votes.
    """
    if options == 1:
        return [1.0]
    votes = pairwise(ballots, options)
    strength = [[votes[i][j] if votes[i][j] > votes[j][i] else 0 for j in range(options)] for i in range(options)]
    for via in range(options):
        onward = strength[via]
        for start in range(options):
            path, reach = strength[start], strength[start][via]
            if start != via and reach:
                strength[start] = [max(direct, min(reach, rest)) for direct, rest in zip(path, onward, strict=True)]
    wins = [0.0] * options
    for i, j in permutations(range(options), 2):
        wins[i] += strength[i][j] > strength[j][i]
    return wins


def preferred(ballots: Sequence[Ballot], options: int, option: int) -> float:
    """Return the smallest share of the ballots that put an option above any one other; a tie counts half.

    1 when there is no other option or when every ballot puts it first; 0 without ballots.
    """
    if not ballots:
        return 0.0
    votes = pairwise(ballots, options)
    shares = (
        (len(ballots) + votes[option][other] - votes[other][option]) / (2 * len(ballots))
        for other in range(options)
        if other != option
    )
    return min(shares, default=1.0)


def pairwise(ballots: Sequence[Ballot], options: int) -> list[list[int]]:
    """Return the table whose entry `[i][j]` is the number of ballots that put option i above option j."""
    votes = [[0] * options for _ in range(options)]
    for ballot in ballots:
        above: list[int] = []
        for group in ballot:
            for higher in above:
                row = votes[higher]
                for lower in group:
                    row[lower] += 1
            above.extend(group)
    return votes
