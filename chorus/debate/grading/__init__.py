"""The parts of `chorus.debate.grade`: reading an answer out of a text, and telling whether two are the same."""
