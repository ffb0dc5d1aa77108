"""Formulas: are two of them equal for all x? Generated, see :mod:`knotwork.formulas`."""

from knotwork.tasks.task import Classification

TASK = Classification(
    name="symbolic",
    title="Equal formulas",
    template="Formula 1: {0}\nFormula 2: {1}\nAre these formulas equal for all x?",
    text_columns=("formula1", "formula2"),
    label_column="equal",
    classes=("different", "equal"),
    label_words=(" no", " yes"),
    submission="Predicted_Is_Equal",
    texts="formula",
    scored=("extrapolation",),
    graded=True,
)
