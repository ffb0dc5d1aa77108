"""Length-bucketed batches whose order is a function of (seed, epoch) alone."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

POOL = 64
"""Batches drawn at random before they are sorted by length: enough for 1.05 padding waste, few enough to mix."""


class EpochBatches(Sampler[list[int]]):
    """The batches of an epoch.

    With several processes each takes its share of every batch, so the launcher changes no batch.

    Args:
        lengths: tokens of each example.
        rank: this process.
        world: number of processes; at most the smallest batch.
    """

    def __init__(self, lengths: Sequence[int], rank: int = 0, world: int = 1) -> None:
        self.lengths, self.rank, self.world = np.asarray(lengths), rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    @abstractmethod
    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch, over all processes."""

    def tokens(self, epoch: int) -> int:
        """Real tokens of an epoch."""
        return int(sum(self.lengths[batch].sum() for batch in self.batches(epoch)))

    def __iter__(self) -> Iterator[list[int]]:
        """This process's share of every batch of the epoch."""
        for batch in self.batches(self.epoch):
            yield batch[self.rank :: self.world]


class LengthBatches(EpochBatches):
    """Every example once: shuffle, sort by length within pools, cut into even batches, shuffle the batches.

    Args:
        lengths: tokens of each example.
        size: examples per batch over all processes; batches of an epoch differ by one example at most.
        seed: with the epoch, all that decides the order.
        rank: this process.
        world: number of processes.
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        super().__init__(lengths, rank, world)
        self.size, self.seed = size, seed
        self.count = -(-len(lengths) // size)

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch, over all processes."""
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(len(self.lengths))
        batches = _bucketed(order, self.lengths, self.size, self.count)
        return [batches[index].tolist() for index in generator.permutation(self.count)]

    def __len__(self) -> int:
        """Batches per epoch."""
        return self.count


class TaskBatches(EpochBatches):
    """Batches of one task each; the tasks' steps are shuffled, and all batches of a step are of one task.

    A task with n examples gets steps in proportion to n^(1 / temperature) (Arivazhagan et al. 2019), at least one,
    and an epoch has about as many examples as there are. Each task goes through its own examples, in a new order
    every time, and an epoch takes them up where the last one stopped.

    Args:
        lengths: tokens of each example, task after task.
        counts: examples of each task.
        size: examples per batch over all processes.
        accumulation: batches per step.
        temperature: 1 for as many as there are, higher for more even shares.
        seed: with the epoch, all that decides the order.
        rank: this process.
        world: number of processes.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        counts: Sequence[int],
        size: int,
        accumulation: int,
        temperature: float,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(lengths, rank, world)
        self.counts, self.size, self.accumulation, self.seed = counts, size, accumulation, seed
        shares = np.asarray(counts, dtype=float) ** (1 / temperature)
        steps = len(lengths) / (size * accumulation) * shares / shares.sum()
        self.steps = [max(1, round(number)) for number in steps.tolist()]

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch, over all processes, those of a step one after the other."""
        steps = []
        for task, number in enumerate(self.steps):
            generator = np.random.default_rng([self.seed, epoch, task])
            count = number * self.accumulation
            batches = _bucketed(self._drawn(task, epoch, count * self.size), self.lengths, self.size, count)
            mixed = [batches[index].tolist() for index in generator.permutation(count)]
            steps += [mixed[start : start + self.accumulation] for start in range(0, count, self.accumulation)]
        order = np.random.default_rng([self.seed, epoch]).permutation(len(steps))
        return [batch for index in order for batch in steps[index]]

    def _drawn(self, task: int, epoch: int, rows: int) -> NDArray[np.int64]:
        """The examples of a task in an epoch: a piece of its passes, one after the other."""
        count, first = self.counts[task], sum(self.counts[:task])
        passes = range(epoch * rows // count, ((epoch + 1) * rows - 1) // count + 1)
        orders = [np.random.default_rng([self.seed, task, number]).permutation(count) for number in passes]
        start = epoch * rows - passes[0] * count
        return first + np.concatenate(orders)[start : start + rows]

    def __len__(self) -> int:
        """Batches per epoch."""
        return sum(self.steps) * self.accumulation


class EpochLoader(DataLoader):
    """A DataLoader that tells its batch sampler the epoch, as the Trainer expects."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.batch_sampler.set_epoch(epoch)


def _bucketed(
    order: NDArray[np.int64], lengths: NDArray[np.int64], size: int, count: int
) -> list[NDArray[np.int64]]:
    """Examples in that order, sorted by length within pools, in ``count`` even batches."""
    pools = np.array_split(order, range(POOL * size, len(order), POOL * size))
    ordered = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    return np.array_split(ordered, count)
