"""Length-bucketed batches whose order is a function of (seed, epoch) alone."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import DataLoader, Sampler

POOL = 64
"""Batches drawn at random before they are sorted by length: enough for 1.05 padding waste, few enough to mix."""


class LengthBatches(Sampler[list[int]]):
    """Shuffle, sort by length within pools, cut into even batches, shuffle the batches.

    With several processes each takes its share of every batch, so the launcher changes no batch.

    Args:
        lengths: tokens of each example.
        size: examples per batch over all processes; batches of an epoch differ by one example at most.
        seed: with the epoch, all that decides the order.
        rank: this process.
        world: number of processes; at most the smallest batch.
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.lengths = np.asarray(lengths)
        self.count = -(-len(lengths) // size)
        self.size, self.seed, self.rank, self.world = size, seed, rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch, over all processes."""
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(len(self.lengths))
        pools = np.array_split(order, range(POOL * self.size, len(order), POOL * self.size))
        ordered = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        batches = np.array_split(ordered, self.count)
        return [batches[index].tolist() for index in generator.permutation(self.count)]

    def __iter__(self) -> Iterator[list[int]]:
        """This process's share of every batch of the epoch."""
        for batch in self.batches(self.epoch):
            yield batch[self.rank :: self.world]

    def __len__(self) -> int:
        """Batches per epoch."""
        return self.count


class EpochLoader(DataLoader):
    """A DataLoader that tells its batch sampler the epoch, as the Trainer expects."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.batch_sampler.set_epoch(epoch)
