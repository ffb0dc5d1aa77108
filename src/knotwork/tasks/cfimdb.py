"""CFIMDB: movie reviews, two classes (the CS224N course's corpus)."""

from knotwork.tasks.task import Classification

TASK = Classification(
    name="cfimdb",
    title="CFIMDB sentiment",
    template="{0}\nOverall, this movie is",
    text_columns=("sentence",),
    label_column="sentiment",
    classes=("negative", "positive"),
    label_words=(" bad", " good"),
    submission="Predicted_Sentiment",
)
