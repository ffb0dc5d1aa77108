"""What simple methods reach: the largest class, TF-IDF with logistic regression; a random sonnet, copied lines.

Nothing here is tuned on the rows it is scored on. The TF-IDF settings are fixed: of a small grid, those with
the best cross-validated accuracy on *training* rows, of SST and CFIMDB for one text and of Quora for pairs.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from knotwork import statistics
from knotwork.corpora import Row

TOKEN = r"(?u)\b\w+\b"  # one-letter words too: "I", and the "t" that is left of "n't"
INVERSE_REGULARISATION = 3.0


def largest_class(train_labels: Sequence[int], dev_labels: Sequence[int]) -> float:
    """Accuracy on dev of always answering the most frequent training label (the smallest one in a tie)."""
    counts = Counter(train_labels)
    answer = min(counts, key=lambda label: (-counts[label], label))
    return float(np.mean(np.asarray(dev_labels) == answer))


def tfidf(train_rows: Sequence[Row], dev_rows: Sequence[Row]) -> float:
    """Accuracy on dev of logistic regression over TF-IDF features. Deterministic.

    One text gives words and word pairs. Two texts with word weights a and b give |a - b| and sqrt(a * b) for
    each word, and the cosine of a and b: what differs, what is shared, and how much.
    """
    train_labels = [row.label for row in train_rows]
    dev_labels = [row.label for row in dev_rows]
    if len(set(train_labels)) == 1:  # nothing to separate: scikit-learn refuses to fit
        return largest_class(train_labels, dev_labels)
    pairs = len(train_rows[0].texts) == 2
    vectorizer = TfidfVectorizer(ngram_range=(1, 1 if pairs else 2), sublinear_tf=True, token_pattern=TOKEN)
    vectorizer.fit([text for row in train_rows for text in row.texts])
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000)
    model.fit(_features(vectorizer, train_rows), train_labels)
    return float(model.score(_features(vectorizer, dev_rows), dev_labels))


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


def _features(vectorizer: TfidfVectorizer, rows: Sequence[Row]) -> sparse.csr_matrix:
    """Rows x features, see :func:`tfidf`."""
    texts = [vectorizer.transform(column) for column in zip(*(row.texts for row in rows), strict=True)]
    if len(texts) == 1:
        return texts[0]
    first, second = texts
    shared = first.multiply(second).tocsr()
    cosine = sparse.csr_matrix(shared.sum(axis=1))
    return sparse.hstack([abs(first - second), shared.sqrt(), cosine], format="csr")
