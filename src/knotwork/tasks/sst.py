"""Stanford Sentiment Treebank, five classes (Socher et al. 2013)."""

from knotwork.tasks.task import Classification

TASK = Classification(
    name="sst",
    title="SST-5 sentiment",
    template="{0}\nOverall, this movie is",
    text_columns=("sentence",),
    label_column="sentiment",
    classes=("very negative", "negative", "neutral", "positive", "very positive"),
    label_words=(" terrible", " bad", " okay", " good", " great"),
    submission="Predicted_Sentiment",
)
