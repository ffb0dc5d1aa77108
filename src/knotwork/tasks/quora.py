"""Quora question pairs: do two questions ask the same thing?"""

from knotwork.tasks.task import Classification

TASK = Classification(
    name="quora",
    title="Quora paraphrases",
    template='Question 1: "{0}"\nQuestion 2: "{1}"\nAre these questions asking the same thing?',
    text_columns=("sentence1", "sentence2"),
    label_column="is_duplicate",
    classes=("different", "same"),
    label_words=(" no", " yes"),
    submission="Predicted_Is_Paraphrase",
)
