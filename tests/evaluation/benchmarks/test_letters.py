"""Which option an answer names: answers as models write them, and what other scorers get wrong."""

import pytest

from omnizip.evaluation.benchmarks.letters import parse_letter

OPTIONS = ("A man", "a red circle", "Nothing", "It is getting louder")


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        (" B \n", "B"),
        ("B.", "B"),
        ("(B)", "B"),
        ("**C**", "C"),
        ("[D]", "D"),
        ("B. a red circle", "B"),
        ("B) a red circle", "B"),
        ("(B) a red circle", "B"),
        ("B: because it falls", "B"),
        ("B a red circle", "B"),
        ("A\n\nThe man speaks first.", "A"),
        ("The answer is C.", "C"),
        ("The best answer is: (D)", "D"),
        ("Answer: B", "B"),
        ("I think option C is right.", "C"),
        ("The man leaves, so it is (C) in my view.", "C"),
        ("a red circle", "B"),
        ("A RED circle.", "B"),
        ("A man", "A"),
        ("nothing", "C"),
        ("The answer is A because the man speaks.", "A"),
        ("Answer: A red circle.", "B"),  # the article of B's text, and no A
        ("Answer: A A man", "A"),
        ("The answer is A, not B.", "A"),
        ("Option A is wrong, so the answer is B.", "B"),
        ("B. a red circle\n\nA. A man is not seen.", None),
    ],
)
def test_an_answer_that_names_an_option(answer, letter):
    assert parse_letter(answer, OPTIONS) == letter


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "  \n",
        "Based on the video, the man speaks.",  # other scorers: B
        "A dog barks",  # begins with a word that is a letter
        "I do not know.",
        "no",  # lmms-eval falls back to A
        "Could be many things",  # other scorers: C
        "E",  # no option
        "The answer is E",
        "A or B",
        "A, B",
        "(A) and (C)",
        "A. one\nB. two",
        "The answer is A. No, the answer is B.",
        "a red circle and nothing",
        "AB",
        "The answer is A or B.",
        "Answer: A, B",
        "The answer is (A) and (C)",
        "A. A man B. a red circle C. Nothing D. It is getting louder",
        "Answer: A drum",
        "It is not option A.",
        "Option A is wrong.",
        "The answer is a man",  # stated in words only, and not word for word an option
    ],
)
def test_an_answer_that_names_none_or_several_is_not_guessed(answer):
    assert parse_letter(answer, OPTIONS) is None


def test_a_letter_counts_only_among_the_options_there_are():
    assert parse_letter("D", OPTIONS) == "D" and parse_letter("D", OPTIONS[:3]) is None
    assert parse_letter("same", ("same", "same")) is None
