"""Formulas: which of four is the derivative, or the value? Generated, see :mod:`knotwork.formulas`."""

from knotwork.tasks.task import Classification

TASK = Classification(
    name="symbolic_choice",
    title="Derivatives and values",
    template="Question: {0}\nA: {1}\nB: {2}\nC: {3}\nD: {4}\nThe answer is",
    text_columns=("question", "choice1", "choice2", "choice3", "choice4"),
    label_column="answer",
    classes=("A", "B", "C", "D"),
    label_words=(" A", " B", " C", " D"),
    submission="Predicted_Answer",
    texts="formula",
    scored=("extrapolation",),
    graded=True,
)
