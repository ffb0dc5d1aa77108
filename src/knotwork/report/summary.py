"""Sentences drawn from the results: what was reached, and what it is worth."""

from knotwork.params import MULTITASK
from knotwork.report import formats, paper
from knotwork.report.elements import Notice
from knotwork.report.names import TASKS, enumerate_names, sentence_case
from knotwork.report.read import TaskResult

ONE_SEED = (
    "With one seed the intervals cover the choice of the examples and not that of the seed: another seed may "
    "differ by more."
)


def verdict(low: float, high: float, baseline: float) -> str:
    """Where an interval lies: ``above`` or ``below`` a baseline, or it ``includes`` it."""
    if low > baseline:
        return "above"
    return "below" if high < baseline else "includes"


def adapter_name(results: list[TaskResult]) -> str:
    """The adapter of all results, or a word for several."""
    names = {result.adapter for result in results}
    return names.pop() if len(names) == 1 else "the adapter"


def overview(results: list[TaskResult]) -> str:
    """One sentence over all tasks: where the simple baselines are beaten and where not; and what they are."""
    places: dict[str, list[str]] = {"above": [], "includes": [], "below": []}
    for result in results:
        metrics = result.metrics
        if result.is_classification:
            stands = verdict(metrics.accuracy_low, metrics.accuracy_high, metrics.baseline_tfidf)
        else:
            random = metrics.baseline_random_sonnet_chrf_generated
            stands = verdict(metrics.chrf_generated_low, metrics.chrf_generated_high, random)
        places[stands].append(result.name)
    verbs = {"above": "beats", "includes": "cannot be told apart from", "below": "falls short of"}
    parts, baseline = [], "a simple baseline"
    for stands, names in places.items():
        if names:
            parts.append(f"{verbs[stands]} {baseline} on {enumerate_names(names)}")
            baseline = "it"
    text = ", and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    return f"{sentence_case(adapter_name(results))} {text}."


def explanation(results: list[TaskResult]) -> str:
    """What the baselines are and when one counts as beaten."""
    kinds = {result.is_classification for result in results}
    classes = "a bag of words (TF-IDF and logistic regression) trained on the same rows"
    sonnets = "the lines of a random training sonnet"
    if kinds == {True, False}:
        baselines = f"The baseline for the classes is {classes}, for the sonnets {sonnets}"
    else:
        baselines = f"The baseline is {classes if True in kinds else sonnets}"
    return f"{baselines}; it counts as beaten where the whole {formats.CONFIDENCE} interval lies above it."


def task_sentence(result: TaskResult) -> str:
    """A task's score, its interval, and how it stands to the baselines."""
    return _classification(result) if result.is_classification else _sonnets(result)


def _classification(result: TaskResult) -> str:
    metrics = result.metrics
    low, high = metrics.accuracy_low, metrics.accuracy_high
    largest, words, all_rows = (
        metrics.baseline_largest_class,
        metrics.baseline_tfidf,
        metrics.baseline_tfidf_all_rows,
    )
    text = (
        f"{sentence_case(result.adapter)} reaches {formats.percent(metrics.accuracy)} on {result.name} "
        f"({formats.CONFIDENCE} interval {formats.percent_interval(low, high)})"
    )
    text += _against(verdict(low, high, words), f"the bag of words ({formats.percent(words)})")
    if all_rows != words:
        stands = {"above": "below", "below": "above", "includes": "within"}[verdict(low, high, all_rows)]
        reached = formats.percent(all_rows)
        text += f" Trained on all rows, the bag of words reaches {reached}, {stands} the interval."
    if verdict(low, high, largest) != "above":
        text += f" Always answering the largest class gives {formats.percent(largest)}, which is not beaten."
    return text


def _sonnets(result: TaskResult) -> str:
    metrics = result.metrics
    low, high = metrics.chrf_generated_low, metrics.chrf_generated_high
    random = metrics.baseline_random_sonnet_chrf_generated
    score, spread = formats.decimal(metrics.chrf_generated), formats.interval(low, high)
    text = (
        f"On {result.name} the lines generated with {result.adapter} reach a chrF of {score} "
        f"({formats.CONFIDENCE} interval {spread})"
    )
    text += _against(
        verdict(low, high, random), f"the lines of a random training sonnet ({formats.decimal(random)})"
    )
    spread = formats.interval(metrics.perplexity_low, metrics.perplexity_high)
    text += f" The perplexity of the true sonnets is {formats.decimal(metrics.perplexity)} ({spread})."
    verse = result.card.verse
    if "run" in verse and "true" in verse:
        scan, rhyme = (
            [formats.percent(getattr(verse[whose], key), 0) for whose in ("run", "true")]
            for key in ("ten_syllables", "rhyme_scheme")
        )
        text += (
            f" Of the generated lines {scan[0]} have ten syllables and {rhyme[0]} of the pairs that should rhyme "
            f"do; of the true ones {scan[1]} and {rhyme[1]}."
        )
    return text


def _against(stands: str, baseline: str) -> str:
    if stands == "includes":
        return f"; the interval includes {baseline}, so this run does not tell the two apart."
    return f", {stands} {baseline}."


def remarks(results: list[TaskResult], missing: list[str]) -> list[str]:
    """What a reader must know before taking the figures for more than they are."""
    found = []
    if any(len(result.card.seeds) == 1 for result in results):
        found.append(ONE_SEED)
    on_dev = [result.name for result in results if result.selected_on_dev]
    if on_dev:
        found.append(chosen_on_dev(on_dev))
    found += [picked(result) for result in results if result.card.samples > 1]
    found += [*_failures(results), *beside_the_paper(results)]
    if missing:
        found.append(f"No results are here for {enumerate_names(missing)}.")
    return found


def chosen_on_dev(names: list[str]) -> str:
    """What the paper's protocol makes of the scores."""
    return (
        f"The epoch was chosen on dev (the paper’s protocol) on {enumerate_names(names)}: the rows that chose it "
        "are scored here too, so these figures are too high by an unknown amount."
    )


def picked(result: TaskResult) -> str:
    """What a choice among samples makes of the generated sonnets."""
    return (
        f"On {result.name} each generated text is the one of {result.card.samples} samples that the model itself "
        "finds likeliest, so figures of single samples are not comparable with these."
    )


def _failures(results: list[TaskResult]) -> list[str]:
    collapsed = [result.name for result in results if result.metrics.collapsed == 1]
    stalled = [result.name for result in results if result.metrics.stalled == 1]
    unknown = [result.name for result in results if result.metrics.stalled == -1]
    found = []
    if collapsed:
        found.append(f"Training collapsed on {enumerate_names(collapsed)}.")
    if stalled:
        found.append(f"Training stalled on {enumerate_names(stalled)}.")
    if not found:
        found.append("No training collapsed" + ("." if unknown else " or stalled."))
    if unknown:
        found.append(f"Stalling was not assessed on {enumerate_names(unknown)}: too few epochs.")
    return found


def beside_the_paper(results: list[TaskResult]) -> list[str]:
    """What sets the results apart from the paper's, if anything does."""
    published = [result for result in results if result.task in paper.PAPER]
    corpus = dict.fromkeys(r.name for r in published if not paper.same_corpus(r.card.corpus.manifest, r.task))
    bases = sorted({r.card.base.name for r in published if not paper.same_base(r.card.base.name)})
    differences = []
    if corpus:
        differences.append(f"other texts ({enumerate_names(list(corpus))})")
    if bases:
        differences.append(f"another base ({enumerate_names(bases)} instead of GPT-2)")
    if not differences:
        return []
    return [
        "The paper’s figures stand beside ours for orientation only. Ours were measured with "
        f"{enumerate_names(differences)}, so a difference from them is no finding."
    ]


def notice(results: list[TaskResult]) -> Notice | None:
    """A warning when the tasks' results do not belong to one run."""
    points = []
    for what, value in (
        ("adapter", lambda result: result.adapter),
        ("base", lambda result: f"{result.card.base.name} ({(result.card.base.sha256 or 'no hash')[:12]})"),
        ("corpus", lambda result: result.card.corpus.manifest),
        ("selection", lambda result: str(result.card.selection)),
        ("seeds", lambda result: ", ".join(map(str, result.card.seeds))),
    ):
        groups: dict[str, list[str]] = {}
        for result in results:
            groups.setdefault(value(result), []).append(result.name)
        if len(groups) > 1:
            parts = [f"{key} on {enumerate_names(names)}" for key, names in groups.items()]
            points.append(f"{sentence_case(what)}: {'; '.join(parts)}.")
    if not points:
        return None
    advice = "Run dvc repro to bring all tasks up to date before comparing them."
    return Notice("These results do not belong to one run", points, advice)


def not_run(results: list[TaskResult], tasks: list[str]) -> list[str]:
    """Names of the tasks that were asked for, or that the paper has, and that have no results."""
    have = {name for result in results for name in (result.task, MULTITASK if result.member else result.task)}
    return [TASKS.get(task, task) for task in dict.fromkeys([*tasks, *paper.PAPER]) if task not in have]
