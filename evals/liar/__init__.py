"""Can a liar take a chorus over? `chorus eval liar`: one voice argues for a wrong answer, and the rest decide."""
