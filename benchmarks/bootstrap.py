"""The two-level bootstrap against a plain loop and scipy.stats.bootstrap, side by side on one core.

    python benchmarks/bootstrap.py [--examples 40000] [--seeds 3]

Seconds are CPU time, so that a busy machine changes little. The slower contenders run fewer resamples and
their seconds are scaled to 10,000, since every resample costs the same. scipy.stats.bootstrap has no second
level, so it takes part with one seed only.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from knotwork import statistics

CLASSES = 5
Indices = NDArray[np.int64]


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    gold = rng.integers(CLASSES, size=arguments.examples)
    print(f"{arguments.examples:,} examples, {statistics.RESAMPLES:,} resamples, one core")
    print(f"{'':30} {'CPU s':>9} {'ratio':>9} {'peak MiB':>9}  95 % interval")
    with threadpool_limits(1):
        for seeds in sorted({1, arguments.seeds}):
            wrong = rng.random((seeds, arguments.examples)) > 0.55
            predictions = (gold + wrong * rng.integers(1, CLASSES, size=wrong.shape)) % CLASSES
            nll = rng.gamma(2.0, 0.5, size=wrong.shape)
            for name, values in (("accuracy", (predictions == gold).astype(float)), ("NLL", nll)):
                ours = report(f"{name}, seeds: {seeds}", lambda v=values: statistics.mean(v).interval())
                report("  plain loop", lambda v=values: loop(mean_of(v), v.shape, 200), 200, ours)
                if seeds == 1:
                    report("  scipy.stats.bootstrap", lambda v=values: scipy_mean(v[0], 500), 500, ours)
            ours = report(
                f"macro F1, seeds: {seeds}", lambda p=predictions: statistics.macro_f1(gold, p).interval()
            )
            report("  plain loop", lambda p=predictions: loop(f1_of(gold, p), p.shape, 20), 20, ours)


def report(
    name: str,
    run: Callable[[], tuple[float, ...]],
    resamples: int = statistics.RESAMPLES,
    ours: float | None = None,
) -> float:
    """Time ``run``, print its line, and return its CPU seconds, scaled to the full number of resamples."""
    start = time.process_time()
    *_, low, high = run()
    seconds = (time.process_time() - start) * statistics.RESAMPLES / resamples
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    ratio = f"{seconds / ours:.1f}x" if ours else ""
    print(f"{name:30} {seconds:9.2f} {ratio:>9} {peak:9.0f}  {low:.4f} to {high:.4f}", flush=True)
    return seconds


def loop(score: Callable[[Indices, Indices], float], shape: tuple[int, int], resamples: int) -> tuple[float, float]:
    """What one would write first: draw seeds and examples, score the copy, take percentiles."""
    rng = np.random.default_rng(0)
    scores = [score(*(rng.integers(size, size=size) for size in shape)) for _ in range(resamples)]
    return tuple(np.quantile(scores, [0.025, 0.975]))


def mean_of(values: NDArray[Any]) -> Callable[[Indices, Indices], float]:
    """The mean of a resample of ``values``, seeds x examples."""
    return lambda seeds, examples: values[seeds][:, examples].mean()


def f1_of(gold: NDArray[Any], predictions: NDArray[Any]) -> Callable[[Indices, Indices], float]:
    """Macro F1 of a resample by scikit-learn, averaged over seeds."""
    return lambda seeds, examples: np.mean(
        [f1_score(gold[examples], predictions[seed][examples], average="macro") for seed in seeds]
    )


def scipy_mean(values: NDArray[Any], resamples: int) -> tuple[float, float]:
    """The library's bootstrap of a mean, batched so that it does not hold all resamples at once."""
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=resamples, batch=50, method="percentile", rng=np.random.default_rng(0)
    )
    return tuple(result.confidence_interval)


if __name__ == "__main__":
    main()
