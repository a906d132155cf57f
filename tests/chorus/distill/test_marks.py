"""What a debate came to, by the one grader."""

from workshop import debated, question

from chorus.distill.marks import changes, mark, right


def test_a_debate_in_which_one_was_put_right(tmp_path):
    found = mark(debated(tmp_path))
    assert found.right is True
    assert found.contested
    assert (found.flips, found.corrected, found.misled) == (2, 1, 0)


def test_a_debate_that_ends_wrong(tmp_path):
    found = mark(debated(tmp_path, question("What is 9 * 9?", "81")))
    assert found.right is False
    assert (found.corrected, found.misled) == (0, 0)


def test_where_the_truth_is_not_known_nothing_is_marked_right_or_wrong(tmp_path):
    found = mark(debated(tmp_path, question(answer=None)))
    assert found.right is None
    assert (found.corrected, found.misled) == (0, 0)
    assert found.flips == 2


def test_changes_are_counted_voice_by_voice():
    assert changes([["54", "56"], ["56", "54", "56.0"], ["56", None, "56"], ["1", "2"]], question()) == (2, 1)


def test_no_answer_is_a_wrong_one():
    assert right(None, question()) is False
    assert right("$56", question()) is True
