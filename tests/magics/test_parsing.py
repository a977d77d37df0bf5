"""A magic's line: options first, then names, or an expression that is left as it was typed."""

from __future__ import annotations

import contextlib
import shlex

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument

from sm_magics.magics import parsing


@parsing.magic
@argument("model", nargs="?", metavar="MODEL")
@argument("more", nargs="*", metavar="MORE")
@argument("-e", "--endpoint-name", metavar="NAME")
@argument("--count", type=int, default=1)
@argument("--save-as", choices=("state_dict", "torchscript"))
@argument("--include", action="append", default=[])
@argument("--force", action="store_true")
@parsing.hosted
@parsing.placed
@parsing.foldered
@parsing.out
def sm_test(line):
    """A magic with every kind of option."""


@parsing.magic
@argument("-e", "--endpoint-name", metavar="NAME")
@argument("--accept", metavar="TYPE")
@argument("--force", action="store_true")
@parsing.out
def sm_send(line):
    """A magic whose line ends in an expression."""


PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\"'#;\\"), min_size=1)
ANYTHING = st.text(st.characters(codec="utf-8", exclude_characters="\r\n", exclude_categories=["Cc"]))


# -- words ----------------------------------------------------------------------------------------------------------


@given(st.lists(PLAIN))
def test_words_are_what_stands_between_spaces(given_words):
    assert parsing.words("  ".join(given_words)) == given_words


@given(st.lists(ANYTHING))
@example(['a"b', "c\\", "\\'", 'x["a"]'])
def test_quoted_words_come_back_as_they_were_meant(given_words):
    assert parsing.words(shlex.join(given_words)) == given_words


@given(st.lists(PLAIN), st.sampled_from([";", " ;", ";;", " # a comment", "; # don't", "   ", "  # x;", "\n"]))
def test_a_trailing_semicolon_and_comment_are_no_words(given_words, ending):
    assert parsing.words(" ".join(given_words) + ending) == given_words


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("net", ["net"]),
        ('"my model" --x', ["my model", "--x"]),
        ('--sample "x[:2, 0]"', ["--sample", "x[:2, 0]"]),
        ("--sample='x[:2, 0]'", ["--sample=x[:2, 0]"]),
        ('--sample "d[\\"a\\"]"', ["--sample", 'd["a"]']),
        ("--sample 'd[\"a\"]'", ["--sample", 'd["a"]']),
        ('--env A="b c"', ["--env", "A=b c"]),
        ("--name ''", ["--name", ""]),
        ('"a; # b"', ["a; # b"]),
        ('"a;";', ["a;"]),
        ("a#b", ["a#b"]),
        ("C:\\models\\net.pth", ["C:\\models\\net.pth"]),
        ('"C:\\models"', ["C:\\models"]),
        ("net # don't", ["net"]),
    ],
)
def test_words_of(line, expected):
    assert parsing.words(line) == expected


@given(st.text())
@example('"a\\"')
@example('"a"\\')
@example("'")
def test_any_line_is_words_or_a_usage_error(line):
    with contextlib.suppress(UsageError):
        assert all(isinstance(word, str) for word in parsing.words(line))


@pytest.mark.parametrize("line", ['"my model', "--name 'x", 'a"b', "net 'it"])
def test_an_open_quote_is_a_usage_error(line):
    with pytest.raises(UsageError, match="quote is not closed"):
        parsing.parse(sm_test, line)


# -- options --------------------------------------------------------------------------------------------------------


def test_options_and_names_may_come_in_any_order():
    for line in ("a b c --count 3 --force", "--count 3 a b --force c", "a --force b --count=3 c"):
        options = parsing.parse(sm_test, line)
        assert (options.model, options.more, options.count, options.force) == ("a", ["b", "c"], 3, True)


def test_an_option_that_may_be_repeated_starts_empty_every_time():
    assert parsing.parse(sm_test, "--include a --include b").include == ["a", "b"]
    assert parsing.parse(sm_test, "").include == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--nonsense", "--nonsense"),
        ("--cou 3", "--cou"),
        ("--inst ml.m5.large", "--inst"),
        ("--count three", "three"),
        ("--count", "--count"),
        ("--save-as pickle", "pickle"),
        ("--force=yes", "--force"),
        ("-h", "-h"),
        ("--help", "--help"),
    ],
)
def test_a_mistyped_line_names_what_is_wrong_and_where_help_is(line, said):
    for function in (sm_test, sm_send):
        if function is sm_send and "count" in line:
            continue
        with pytest.raises(UsageError, match=r"hint: %sm_\w+\?") as caught:
            parsing.parse(function, line)
        assert said in str(caught.value) or function is sm_send


@pytest.mark.parametrize("name", ["1x", "a b", "a-b", "a.b", "class", "None", ""])
def test_out_takes_only_the_name_of_a_variable(name):
    with pytest.raises(UsageError, match="--out"):
        parsing.parse(sm_test, f"--out '{name}'")


@given(st.text())
@example("--count \ud800")
@example("-- -x")
def test_any_line_is_options_or_a_usage_error(line):
    with contextlib.suppress(UsageError):
        parsing.parse(sm_test, line)


def test_help_lists_every_option():
    for option in ("--instance-type", "--role", "--region", "--model-dir", "--out", "-o", "--force", "--save-as"):
        assert option in sm_test.__doc__


def test_help_begins_with_the_call_and_lists_options_as_their_sources_do():
    assert "%sm_test [options] [MODEL] [MORE …]\n" in sm_test.__doc__
    places = [sm_test.__doc__.index(option) for option in ("--instance-type", "--role", "--kms-key", "--subnets")]
    assert places == sorted(places)


# -- options, then an expression ------------------------------------------------------------------------------------

OPTIONS = st.sampled_from(
    ["", "-e digits ", "--endpoint-name=digits  ", "--force ", '--accept "text/csv" -o y ', "-o y "]
)


@pytest.mark.parametrize(
    "expression",
    [
        "x[:2, 0]",
        '{"inputs": "hello"}',
        "{'a': \"it's\"}",
        "-x",
        "-xs",
        "-offset",
        "-ee",
        "- x",
        "--x",
        "(x  +   1)",
        "x if y else 'a  b'",
        "[i for i in x]",
        '"a # b"',
        "'a; b'",
        'f"{x:>10}"',
        "x==y",
        "not x",
        "x['--force']",
        "b'\\x00'",
        "lambda: 1",
        '"unclosed',
        "(1,",
    ],
)
@pytest.mark.parametrize("options", ["", "-e digits ", "--force  ", "-o y --accept 'a b' "])
def test_an_expression_is_left_as_it_was_typed(options, expression):
    if expression == "--x":  # two hyphens and a word: always an option, here a mistyped one
        with pytest.raises(UsageError, match="--x"):
            parsing.parse_leading(sm_send, options + expression)
        return
    parsed, rest = parsing.parse_leading(sm_send, options + expression)
    assert rest == expression
    assert parsed.endpoint_name == ("digits" if "digits" in options else None)
    assert parsed.force is ("--force" in options)
    assert parsed.out == ("y" if "-o" in options else None)


@given(OPTIONS, ANYTHING)
@example("", "-offset")
@example("-e digits ", "x  ,  y")
def test_what_follows_the_options_is_byte_for_byte_what_was_typed(options, expression):
    expression = expression.strip()
    assume(not expression.startswith("-"))
    assume("#" not in expression)
    assume(not expression.endswith(";"))
    parsed, rest = parsing.parse_leading(sm_send, f"{options}{expression}")
    assert rest == expression
    assert parsed.force is ("--force" in options)


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("x;", "x"),
        ("x ; ", "x"),
        ("x # the first", "x"),
        ("x; # the first", "x"),
        ("x[:2]  # don't", "x[:2]"),
        ("'a # b'  # c", "'a # b'"),
        ("-e digits # no value", ""),
        ("-e digits;", ""),
        ("# nothing", ""),
        (";", ""),
        ("", ""),
    ],
)
def test_a_trailing_semicolon_and_comment_are_no_part_of_an_expression(line, rest):
    parsed, found = parsing.parse_leading(sm_send, line)
    assert found == rest
    assert parsed.endpoint_name == ("digits" if "-e" in line else None)


@pytest.mark.parametrize("line", ["--acept text/csv x", "--nonsense", "--accep=text/csv x", "-e", "-o", "--force=1 x"])
def test_a_mistyped_option_is_not_taken_for_an_expression(line):
    with pytest.raises(UsageError, match=r"hint: %sm_send\?"):
        parsing.parse_leading(sm_send, line)


@given(st.text())
@example("0\r\x80")
def test_any_line_is_options_and_a_rest_or_a_usage_error(line):
    try:
        _, rest = parsing.parse_leading(sm_send, line)
    except UsageError:
        return
    assert rest in line
