import pytest
from hypothesis import given
from hypothesis import strategies as st

from knotwork.corpora.normalise import normalise

# What the rules look for, so that random texts meet them and each other.
PIECES = (
    " ", " ", "a", "s", "n't", "'s", "s'", "'", "`", "``", "''", '"', '""', '"""', "(", ")", "[", "{", "}",
    "-LRB-", "-RRB-", "\\", "/", "*", ".", ",", "...", "?", ":", "$", "#", "%", "1", "<br />", "<", "br", ">",
    "\x96", "\x85", "\xa0", "-", "LRB", "´", "’", "\u200b", "\n", "é",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  two \t words\r\n\xa0here ", "two words here"),
        ("so bought it.<br /><br />In < br / > 1998", "so bought it. In 1998"),
        ("nested <br<br />> breaks", "nested breaks"),
        ("co-writer\\/director , \\*\\*\\*", "co-writer/director, ***"),
        ("-LRB- A -RRB- film -LSB- sic -RSB- -LCB- x -RCB-", "(A) film [sic] {x}"),
        ("the new `` Conan '' and", 'the new "Conan" and'),
        ("it has ` laughs , ' too", "it has 'laughs,' too"),
        ("don´t", "don't"),
        ("pause \x97 then \x93so\x94 zero\u200bwidth\x7f", "pause — then “so” zerowidth"),
        ("It 's great , is n't it ? I CA N'T say .", "It's great, isn't it? I CAN'T say."),
        ("they 'd , we 'll ; you 've , we 're , I 'm : ! !", "they'd, we'll; you've, we're, I'm:!!"),
        ("the ' 70 's", "the ' 70's"),
        ("its characters ' flaws", "its characters' flaws"),
        ("the cops ' and robbers ' game", "the cops ' and robbers ' game"),
        ("and ( mostly ) dull", "and (mostly) dull"),
        ("paid $ 10 for 50 %", "paid $10 for 50%"),
        ("... so it goes ... on", "... so it goes... on"),
    ],
)  # fmt: skip
def test_undoes_tokenisation(text, expected):
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (' """ A "" "" fine "" "" film . """', 'A "fine" film.'),
        ('" """""" A """" """" fine """" """" film . """""""', 'A "fine" film.'),
        (' """ "" "" Fine "" "" it is . """', '"Fine" it is.'),
        (' """ It is "" "" fine . "" "" """', 'It is "fine."'),
        ('as in "" "" One "" "" "" "" Two "" ""', 'as in "One" "Two"'),
        ('like""""One""""-two', 'like"One"-two'),
    ],
)
def test_undoes_repeated_quoting(text, expected):
    assert normalise(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "What is f(x) in [math]x^{2}[/math], and \\frac?",
        "Thanks :) or :( I say ;)",
        'A 5" screen and a 6" one',
        "What is .NET and a .45?",
        "low - key, either / or",
        "O'Neill's \"it's\" isn't",
        'one " mark alone',
        'an " odd " number " of marks',
        '" "',
        "Ça, c'est «l'été» — 100%",
        "C # 5",
    ],
)
def test_leaves_natural_text(text):
    assert normalise(text) == text


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text())
def test_is_idempotent(text):
    once = normalise(text)
    assert normalise(once) == once


@given(st.text(alphabet="abcLRBst'`\".,()- \n", min_size=1).filter(lambda text: any(map(str.isalpha, text))))
def test_never_empties_a_text_with_letters(text):
    assert normalise(text)
