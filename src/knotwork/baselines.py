"""What simple methods reach: the largest class, TF-IDF with logistic regression; a random sonnet, copied lines.

Nothing here is tuned on the rows it is scored on. The TF-IDF settings are fixed: of a small grid, those with
the best cross-validated accuracy on *training* rows, of SST and CFIMDB for one text and of Quora for pairs.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler

from knotwork import statistics
from knotwork.corpora import Row

TOKEN = r"(?u)\b\w+\b"  # one-letter words too: "I", and the "t" that is left of "n't"
SYMBOL = r"(?u)\w+|[^\w\s]"  # in formulas operators and brackets count too
INVERSE_REGULARISATION = 3.0


def largest_class(train_labels: Sequence[int], dev_labels: Sequence[int]) -> float:
    """Accuracy on dev of always answering the most frequent training label (the smallest one in a tie)."""
    counts = Counter(train_labels)
    answer = min(counts, key=lambda label: (-counts[label], label))
    return float(np.mean(np.asarray(dev_labels) == answer))


def tfidf(train_rows: Sequence[Row], dev_rows: Sequence[Row]) -> float:
    """Accuracy on dev of logistic regression over TF-IDF features. Deterministic.

    One text gives words and word pairs. Two texts with word weights a and b give |a - b| and sqrt(a * b) for
    each word, and the cosine of a and b: what differs, what is shared, and how much. More texts are a question and
    its choices: each choice makes a pair with the question, and the likeliest pair is the answer.
    """
    single = len(train_rows[0].texts) == 1
    vectorizer = TfidfVectorizer(ngram_range=(1, 2 if single else 1), sublinear_tf=True, token_pattern=TOKEN)
    return _accuracy(vectorizer, train_rows, dev_rows)


def surface(train_rows: Sequence[Row], dev_rows: Sequence[Row]) -> dict[str, float]:
    """Accuracy on dev of what looks at the surface of pairs and choices alone: whatever it finds is a cue too many.

    Returns:
        ``lengths``: in characters and in tokens; ``tokens``: how often each occurs, operators and brackets too;
        ``char_ngrams``: of one to five characters.
    """
    views = {
        "lengths": make_pipeline(FunctionTransformer(_lengths), MaxAbsScaler()),
        "tokens": TfidfVectorizer(token_pattern=SYMBOL, sublinear_tf=True),
        "char_ngrams": TfidfVectorizer(analyzer="char", ngram_range=(1, 5), sublinear_tf=True),
    }
    return {name: _accuracy(view, train_rows, dev_rows, sides=True) for name, view in views.items()}


def _accuracy(vectorizer: Any, train_rows: Sequence[Row], dev_rows: Sequence[Row], sides: bool = False) -> float:
    """Accuracy on dev of logistic regression; ``sides``: each text's features too, not the pair's alone."""
    train_labels, dev_labels = ([row.label for row in rows] for rows in (train_rows, dev_rows))
    if len(set(train_labels)) == 1:  # nothing to separate: scikit-learn refuses to fit
        return largest_class(train_labels, dev_labels)
    choices = len(train_rows[0].texts) - 1
    if choices > 1:
        train_rows, dev_rows = _with_each_choice(train_rows), _with_each_choice(dev_rows)
        train_labels = [row.label for row in train_rows]
    vectorizer.fit([text for row in train_rows for text in row.texts])
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000)
    model.fit(_features(vectorizer, train_rows, sides), train_labels)
    features = _features(vectorizer, dev_rows, sides)
    if choices < 2:
        return float(model.score(features, dev_labels))
    answers = model.decision_function(features).reshape(-1, choices).argmax(1)
    return float(np.mean(answers == np.asarray(dev_labels)))


def _with_each_choice(rows: Sequence[Row]) -> list[Row]:
    """A pair for every choice of every row, labelled by whether it is the right one."""
    return [
        Row(row.id, (row.texts[0], choice), int(place == row.label))
        for row in rows
        for place, choice in enumerate(row.texts[1:])
    ]


def _lengths(texts: Sequence[str]) -> sparse.csr_matrix:
    """Characters and tokens of each text."""
    return sparse.csr_matrix([[len(text), len(re.findall(SYMBOL, text))] for text in texts], dtype=float)


def random_sonnet(
    train_sonnets: Sequence[str], dev_sonnets: Sequence[str], draws: int = 50, seed: int = 0
) -> dict[str, float]:
    """chrF when each dev sonnet's given lines are followed by lines 4 to 14 of a random training sonnet.

    Args:
        train_sonnets: whole sonnets, lines separated by line feeds.
        dev_sonnets: likewise; the first three lines are given, the whole is the reference.
        draws: how often all sonnets are drawn anew.
        seed: of the random generator.

    Returns:
        ``random_sonnet_chrf_whole`` and ``random_sonnet_chrf_generated`` (of the drawn lines alone): means
        over the draws, 0 to 100, with ``_low`` and ``_high`` for the range over the draws; and ``draws``.
    """
    drawn = drawn_sonnets(train_sonnets, dev_sonnets, draws, seed)
    result: dict[str, float] = {"draws": draws}
    for name, score in statistics.sonnet_chrf(drawn, dev_sonnets).items():
        result[f"random_sonnet_{name}"] = score.value
        result[f"random_sonnet_{name}_low"] = float(score.per_seed.min())
        result[f"random_sonnet_{name}_high"] = float(score.per_seed.max())
    return result


def drawn_sonnets(
    train_sonnets: Sequence[str], dev_sonnets: Sequence[str], draws: int = 50, seed: int = 0
) -> list[list[str]]:
    """The texts of :func:`random_sonnet`, draws x dev sonnets."""
    rng = np.random.default_rng(seed)
    endings = [statistics.generated_lines(sonnet) for sonnet in train_sonnets]
    choices = rng.integers(len(endings), size=(draws, len(dev_sonnets)))
    given = [statistics.given_lines(sonnet) for sonnet in dev_sonnets]
    return [[f"{start}\n{endings[choice]}" for start, choice in zip(given, row, strict=True)] for row in choices]


def copied_lines(dev_sonnets: Sequence[str]) -> list[str]:
    """Each dev sonnet's given lines, over and over, until it is as long as the true one."""
    texts = [sonnet.split("\n") for sonnet in dev_sonnets]
    return ["\n".join(lines[place % statistics.GIVEN_LINES] for place in range(len(lines))) for lines in texts]


def _features(vectorizer: Any, rows: Sequence[Row], sides: bool) -> sparse.csr_matrix:
    """Rows x features, see :func:`tfidf`."""
    texts = [vectorizer.transform(column) for column in zip(*(row.texts for row in rows), strict=True)]
    if len(texts) == 1:
        return texts[0]
    first, second = texts
    shared = first.multiply(second).tocsr()
    cosine = sparse.csr_matrix(shared.sum(axis=1))
    both = [first, second] if sides else []
    return sparse.hstack([abs(first - second), shared.sqrt(), cosine, *both], format="csr")
