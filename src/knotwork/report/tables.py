"""The report's tables. A row is a dictionary from column heading to cell."""

from collections.abc import Callable, Iterable

from knotwork.report import formats
from knotwork.report.elements import Cell, Definitions, Table
from knotwork.report.names import sentence_case
from knotwork.report.paper import PAPER
from knotwork.report.read import TaskResult, Timing
from knotwork.report.records import SeedResult, SonnetMetrics, VerseFigures


def table(caption: str, rows: list[dict[str, Cell]], texts: Iterable[str] = ()) -> Table:
    """A table of rows with the same columns; ``texts`` are those that hold words."""
    head = tuple(rows[0])
    columns = frozenset(head.index(name) for name in texts)
    return Table(caption, head, [tuple(row.values()) for row in rows], columns)


UNTRAINED = "Untrained base: the likeliest label word after the prompt, with nothing trained. "


def accuracies(results: list[TaskResult], adapter: str) -> Table:
    """Accuracy on dev beside the baselines and the paper's figures: a row per task."""
    several = any(len(result.card.seeds) > 1 for result in results)
    untrained = any(result.metrics.baseline_zero_shot is not None for result in results)
    rows = []
    for result in results:
        metrics = result.metrics
        spread = formats.percent_interval(metrics.accuracy_low, metrics.accuracy_high)
        rows.append(
            {
                "Task": Cell(sentence_case(result.name), _remark(result, adapter)),
                sentence_case(adapter): Cell(formats.percent(metrics.accuracy), spread),
                **_seeds(result, 100 * metrics.accuracy_sd, several),
                "Largest class": Cell(formats.percent(metrics.baseline_largest_class)),
                **({"Untrained base": Cell(formats.percent(metrics.baseline_zero_shot))} if untrained else {}),
                "Bag of words, same rows": Cell(formats.percent(metrics.baseline_tfidf)),
                "Bag of words, all rows": Cell(formats.percent(metrics.baseline_tfidf_all_rows)),
                "The paper’s": _papers(result, "accuracy"),
            }
        )
    return table(
        f"Accuracy on dev with its {formats.CONFIDENCE} interval"
        f"{', and the standard deviation over seeds in points' if several else ''}. "
        f"{UNTRAINED if untrained else ''}Bag of words: TF-IDF and "
        "logistic regression, on the training rows that the adapter sees and on all that there are. The "
        "paper’s figures were measured on the split named below them.",
        rows,
        texts=("Task",),
    )


SONNET_SCORES = {
    "chrf_generated": "chrF, generated lines",
    "chrf_whole": "chrF, whole sonnet",
    "perplexity_continuation": "Perplexity, after the given lines",
    "perplexity": "Perplexity, whole sonnet",
}
SONNET_BASELINES = {
    "Random sonnet": "random_sonnet",
    "Copied lines": "copied_lines",
    "Untrained base": "zero_shot",
}
COPIED = " Copied lines: the given ones over and over."
VERSE = {
    "ten_syllables": "Lines of ten syllables",
    "rhyme_scheme": "Rhymes of the scheme",
    "distinct_1": "Distinct words",
    "distinct_2": "Distinct word pairs",
    "distinct_3": "Distinct word triples",
    "copied_words": "Copied span, words",
}
READING_VERSE = (
    "Ten syllables: or eleven of which the last is weak, by a pronouncing dictionary. Rhymes: of the pairs of "
    "lines that should rhyme in ABAB CDCD EFEF GG. Distinct: different ones among all. Copied span: the longest "
    "run of words that a training sonnet has too, mean and maximum over sonnets. What the true sonnets reach says "
    "what these measures give for the real thing."
)


def chrf(result: TaskResult) -> Table:
    """chrF and perplexity of the sonnets beside baselines and the paper's figure."""
    metrics = result.metrics
    baselines = {
        name: f"baseline_{kind}"
        for name, kind in SONNET_BASELINES.items()
        if getattr(metrics, f"baseline_{kind}_chrf_whole") is not None
    }
    rows = []
    for key, label in SONNET_SCORES.items():
        value, low, high = (getattr(metrics, f"{key}{end}") for end in ("", "_low", "_high"))
        if value is None:
            continue
        row = {
            "Score": Cell(label, _remark(result, result.adapter)),
            sentence_case(result.adapter): Cell(formats.decimal(value), formats.interval(low, high)),
        }
        if len(result.card.seeds) > 1:
            row |= _seeds(result, getattr(metrics, f"{key}_sd", None), several=True)
        for name, baseline in baselines.items():
            row[name] = Cell(formats.decimal(getattr(metrics, f"{baseline}_{key}", None)))
        rows.append(row | {"The paper’s": _papers(result, key)})
    return table(
        f"{sentence_case(result.name)} on dev with {formats.CONFIDENCE} intervals. chrF of the whole sonnet "
        "counts the given lines too, which are right by construction; the generated lines alone are the "
        f"harder test. Perplexity is that of the true sonnets.{COPIED if 'Copied lines' in baselines else ''}",
        rows,
    )


def verse(result: TaskResult) -> Table | None:
    """The form of the generated lines beside that of true sonnets and baselines; None where it was not measured."""
    figures = result.card.verse
    if "run" not in figures:
        return None
    columns = {sentence_case(result.adapter): verse_cells(figures["run"], result.metrics)}
    for name, kind in {"True sonnets": "true", **SONNET_BASELINES}.items():
        if kind in figures:
            columns[name] = verse_cells(figures[kind])
    rows = [
        {"Of the generated lines": Cell(label), **{name: cells[label] for name, cells in columns.items()}}
        for label in VERSE.values()
    ]
    return table(f"The form of the lines after the given ones. {READING_VERSE}", rows)


def verse_cells(figures: VerseFigures, metrics: SonnetMetrics | None = None) -> dict[str, Cell]:
    """Each figure of :data:`VERSE` by its label, above its interval where ``metrics`` has one."""
    cells = {}
    for key, label in VERSE.items():
        in_words = key == "copied_words"
        ends = [getattr(metrics, f"{key}_{end}", None) for end in ("low", "high")]
        notes = [] if None in ends else [formats.interval(*((1 if in_words else 100) * end for end in ends))]
        if in_words:
            notes.append(f"at most {figures.longest_copy}")
        value = getattr(figures, key)
        cells[label] = Cell(formats.decimal(value) if in_words else formats.percent(value), ", ".join(notes))
    return cells


def _remark(result: TaskResult, adapter: str) -> str:
    """What sets a row apart from its neighbours: another adapter, a weaker protocol."""
    other = [] if result.adapter == adapter else [result.adapter]
    return ", ".join(other + ["chosen on dev"] * result.selected_on_dev)


def _seeds(result: TaskResult, deviation: float | None, several: bool) -> dict[str, Cell]:
    if not several:
        return {}
    if len(result.card.seeds) == 1:
        return {"SD": Cell(formats.NONE, "one seed")}
    return {"SD": Cell(formats.decimal(deviation), f"{len(result.card.seeds)} seeds")}


def _papers(result: TaskResult, metric: str) -> Cell:
    published = PAPER.get(result.task)
    if published is None or published.metric != metric:
        return Cell(formats.NONE)
    write = formats.percent if metric == "accuracy" else formats.decimal
    return Cell(write(published.value), published.split or "")


SURFACE = {"lengths": "Lengths", "tokens": "Bag of tokens", "char_ngrams": "Character n-grams"}
READING_LEVELS = "Level: a part of dev, from the easiest formulas (1) to the hardest (3)."
READING_EXTRAPOLATION = "Extrapolation: accuracy on deeper formulas than any that was trained on."


def measures(result: TaskResult) -> Table:
    """The further scores of a classification task."""
    metrics, rows = result.metrics, result.card.rows
    f1 = formats.percent_interval(metrics.macro_f1_low, metrics.macro_f1_high)
    nll = formats.interval(metrics.nll_low, metrics.nll_high, 3)
    row = {
        "Scored on": Cell("dev", f"{formats.count(rows.get('dev'))} rows"),
        "Macro F1": Cell(formats.percent(metrics.macro_f1), f1),
        "NLL, nats": Cell(formats.decimal(metrics.nll, 3), nll),
        "ECE": Cell(formats.decimal(metrics.ece, 3)),
        "Trained on": Cell(
            f"{formats.count(rows.get('train'))} rows", f"of {formats.count(rows.get('train_all'))}"
        ),
    }
    text = (
        "Further scores. NLL: negative log-likelihood of the true class; ECE: expected calibration error, "
        "the mean gap between confidence and the share of right answers."
    )
    return table(text, [row])


def difficulty(result: TaskResult) -> Table | None:
    """Accuracy by level of difficulty, and on deeper formulas; None where there is neither."""
    metrics, row = result.metrics, levels(result)
    if metrics.extrapolation_accuracy is not None:
        spread = formats.percent_interval(metrics.extrapolation_accuracy_low, metrics.extrapolation_accuracy_high)
        row["Extrapolation"] = Cell(formats.percent(metrics.extrapolation_accuracy), spread)
    if not row:
        return None
    named = {"Task": Cell(sentence_case(result.name))}
    return table(f"Accuracy by difficulty. {READING_LEVELS} {READING_EXTRAPOLATION}", [named | row])


def levels(result: TaskResult) -> dict[str, Cell]:
    """Accuracy on dev at each level of difficulty, above the number of its rows; nothing without levels."""
    found = {level: getattr(result.metrics, f"accuracy_level_{level}", None) for level in (1, 2, 3)}
    return {
        f"Level {level}": Cell(formats.percent(value), f"{formats.count(result.card.levels.get(str(level)))} rows")
        for level, value in found.items()
        if value is not None
    }


def surface(result: TaskResult) -> Table | None:
    """What methods reach that see a formula's surface alone; None where they were not asked."""
    found = {name: getattr(result.metrics, f"baseline_{key}", None) for key, name in SURFACE.items()}
    if None in found.values():
        return None
    row = {"Task": Cell(sentence_case(result.name)), **{n: Cell(formats.percent(v)) for n, v in found.items()}}
    return table(
        "Accuracy on dev of logistic regression that sees the surface alone; where the task leaks nothing, it is "
        "chance.",
        [row],
    )


def seeds(result: TaskResult) -> Table:
    """What each seed reached: a row per seed."""
    rows = [
        {
            "Run": Cell(f"seed {seed.seed}"),
            **(_class_scores(seed) if result.is_classification else _sonnet_scores(seed)),
            "Kept epoch": Cell(_kept(seed)),
            "Steps": Cell(formats.count(seed.steps)),
            "Training": Cell(formats.seconds(seed.train_seconds)),
        }
        for seed in result.card.per_seed
    ]
    return table("Every run, scored on dev.", rows)


def _kept(seed: SeedResult) -> str:
    if seed.best_epoch is None or not seed.epochs:
        return formats.NONE
    return f"{formats.count(seed.best_epoch)} of {formats.count(seed.epochs)}"


def _class_scores(seed: SeedResult) -> dict[str, Cell]:
    return {
        "Accuracy": Cell(formats.percent(seed.score("accuracy"))),
        "Macro F1": Cell(formats.percent(seed.score("macro_f1"))),
        "NLL": Cell(formats.decimal(seed.score("nll"), 3)),
        "Selection accuracy": Cell(formats.percent(seed.selection_metric)),
    }


def _sonnet_scores(seed: SeedResult) -> dict[str, Cell]:
    return {
        "chrF, generated": Cell(formats.decimal(seed.score("chrf_generated"))),
        "chrF, whole": Cell(formats.decimal(seed.score("chrf_whole"))),
        "Perplexity": Cell(formats.decimal(seed.score("perplexity"))),
        "Selection perplexity": Cell(formats.decimal(seed.selection_metric)),
    }


def failures(results: list[TaskResult]) -> Table:
    """The failure signatures of each task, with reasons."""
    return signatures([({"Task": Cell(sentence_case(result.name))}, result) for result in results])


def signatures(results: list[tuple[dict[str, Cell], TaskResult]]) -> Table:
    """The failure signatures, with reasons; the first cells of a row say whose they are."""
    rows = [
        {
            **first,
            "Stall": Cell(_by_seed((seed.seed, seed.stall) for seed in result.card.per_seed)),
            "Collapse": Cell(_by_seed((seed.seed, seed.collapse) for seed in result.card.per_seed)),
            "Reasons": Cell(_reasons(result)),
        }
        for first, result in results
    ]
    return table(
        f"Stall: the train loss improves by less than {formats.percent(0.01, 0)} over two epochs before "
        "training ends (not assessed under three epochs). Collapse: one class is answered throughout, or "
        "the metric falls more than 10 points below its best.",
        rows,
        texts=("Stall", "Collapse", "Reasons"),
    )


def _by_seed(values: Iterable[tuple[int, str]]) -> str:
    by_value: dict[str, list[str]] = {}
    for seed, value in values:
        by_value.setdefault(value, []).append(str(seed))
    if len(by_value) == 1:
        return next(iter(by_value))
    return "; ".join(f"{value} (seed {', '.join(where)})" for value, where in by_value.items())


def _reasons(result: TaskResult) -> str:
    found = [(seed.seed, reason) for seed in result.card.per_seed for reason in seed.reasons]
    if len(result.card.per_seed) == 1:
        return "; ".join(reason for _, reason in found) or formats.NONE
    return "; ".join(f"seed {seed}: {reason}" for seed, reason in found) or formats.NONE


def costs(results: list[TaskResult]) -> Table:
    """What each task cost: sizes, time, memory, waste."""
    rows = []
    for result in results:
        metrics = result.metrics
        speed = f"{formats.count(metrics.tokens_per_second)} tokens/s" if metrics.tokens_per_second else ""
        rows.append(
            {
                "Task": Cell(sentence_case(result.name)),
                "Trained parameters": Cell(formats.count(metrics.trainable_parameters), _share(result)),
                "Head": Cell(formats.count(metrics.head_parameters)),
                "Training": Cell(formats.seconds(metrics.train_seconds), speed),
                "Evaluation": Cell(formats.seconds(metrics.evaluate_seconds)),
                "Peak memory": Cell(formats.megabytes(metrics.peak_memory_mb)),
                "Padding waste": Cell(formats.decimal(metrics.padding_waste, 3)),
                "Cut texts": Cell(formats.count(metrics.truncated)),
            }
        )
    return table(
        "What it cost; times are means over seeds of one run. Padding waste: tokens computed per real token. "
        "Cut texts: longer than the context, so that a part was left out.",
        rows,
        texts=("Task",),
    )


def _share(result: TaskResult) -> str:
    base = result.card.base.parameters
    return f"{formats.percent(result.metrics.trainable_parameters / base)} of the base" if base else ""


def stage_times(timings: list[Timing]) -> Table:
    """Each stage's share of the time, longest first."""
    total = sum(timing.seconds for timing in timings)
    stages: dict[str, list[Timing]] = {}
    for timing in timings:
        stages.setdefault(timing.stage, []).append(timing)
    spent = {stage: sum(timing.seconds for timing in members) for stage, members in stages.items()}
    rows = []
    for stage in sorted(spent, key=spent.__getitem__, reverse=True):
        share = spent[stage] / total if total else 0.0
        rows.append(
            {
                "Stage": Cell(stage),
                "Time": Cell(formats.seconds(spent[stage])),
                "Share": Cell(formats.percent(share), share=share),
                "Of which": Cell(_by_task(stages[stage])),
            }
        )
    rows.append(
        {"Stage": Cell("all"), "Time": Cell(formats.seconds(total)), "Share": Cell(""), "Of which": Cell("")}
    )
    return table(
        "Time of each stage as last run on this machine; stages that were up to date kept their old time.",
        rows,
        texts=("Share", "Of which"),
    )


def _by_task(timings: list[Timing]) -> str:
    tasks: dict[str, float] = {}
    for timing in timings:
        if timing.task:
            tasks[timing.task] = tasks.get(timing.task, 0.0) + timing.seconds
    return ", ".join(f"{task} {formats.seconds(spent)}" for task, spent in tasks.items())


FILES = {"base.sha256", "corpus.files", "graphs.files", "task"}
"""Parameters that say which files were used, by hash: nothing to read, and provenance has the corpus's."""


def parameters(results: list[TaskResult]) -> list[Definitions]:
    """Every parameter that decided the runs, group by group."""
    groups: dict[str, list[tuple[str, list[str]]]] = {}
    for key in sorted({key for result in results for key in result.card.parameters} - FILES):
        group, dot, rest = key.partition(".")
        having = [result for result in results if key in result.card.parameters]
        values = shared(having, lambda result, key=key: plain(result.card.parameters[key]))
        groups.setdefault(group if dot else "run", []).append((rest or key, values))
    return [Definitions(group, entries) for group, entries in groups.items()]


def shared(results: list[TaskResult], value: Callable[[TaskResult], str]) -> list[str]:
    """The one value that all tasks share, or a line per value that names its tasks."""
    return per_value([(result.key, value(result)) for result in results])


def per_value(named: Iterable[tuple[str, str]]) -> list[str]:
    """The one value that all names share, or a line per value that lists its names."""
    names: dict[str, dict[str, None]] = {}
    for name, value in named:
        names.setdefault(value, {})[name] = None
    if len(names) == 1:
        return list(names)
    return [f"{', '.join(having)}: {value}" for value, having in names.items()]


def plain(value: object) -> str:
    """A parameter's value as params.yaml writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
    return ", ".join(plain(item) for item in value) if isinstance(value, list) else str(value)
