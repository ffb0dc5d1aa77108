import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knotwork.inference import padding_waste
from knotwork.training.batches import LengthBatches


def lengths_of(shape: str) -> list[int]:
    """Token counts like those of a corpus: short opinions, long reviews cut to 512, pairs of questions."""
    generator = np.random.default_rng(0)
    mean, spread, rows, most = {
        "opinions": (3.1, 0.5, 8544, 80),
        "reviews": (5.2, 0.6, 1701, 512),
        "questions": (3.7, 0.3, 4000, 300),
    }[shape]
    return np.clip(generator.lognormal(mean, spread, rows), 8, most).astype(int).tolist()


@given(
    lengths=st.lists(st.integers(1, 512), min_size=1, max_size=300),
    size=st.integers(1, 40),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 5),
)
def test_every_example_once_in_even_batches(lengths, size, seed, epoch):
    batches = LengthBatches(lengths, size, seed).batches(epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert len(batches) == -(-len(lengths) // size)


def test_order_is_a_function_of_seed_and_epoch_alone():
    lengths = lengths_of("opinions")
    sampler = LengthBatches(lengths, 16, seed=3)
    first = sampler.batches(0)
    np.random.seed(99)
    list(sampler)
    assert LengthBatches(lengths, 16, seed=3).batches(0) == first
    assert sampler.batches(1) != first
    assert LengthBatches(lengths, 16, seed=4).batches(0) != first


def test_iteration_follows_the_epoch_that_was_set():
    sampler = LengthBatches(lengths_of("questions"), 16, seed=0)
    assert list(sampler) == sampler.batches(0)
    sampler.set_epoch(4)
    assert list(sampler) == sampler.batches(4)
    assert len(sampler) == len(list(sampler))


@pytest.mark.parametrize("shape", ["opinions", "reviews", "questions"])
@pytest.mark.parametrize("size", [8, 16, 32])
def test_little_padding(shape, size):
    lengths = lengths_of(shape)
    assert padding_waste(LengthBatches(lengths, size, seed=1).batches(0), lengths) <= 1.05


def test_long_and_short_batches_are_mixed():
    lengths = lengths_of("reviews")
    means = [np.mean([lengths[index] for index in batch]) for batch in LengthBatches(lengths, 16, 0).batches(0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_out_the_same_batches(world):
    lengths = lengths_of("reviews")[:101]
    whole = LengthBatches(lengths, 8, seed=5)
    shares = [list(LengthBatches(lengths, 8, 5, rank, world)) for rank in range(world)]
    assert {len(share) for share in shares} == {len(whole)}
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        assert all(parts)
        assert sorted(index for part in parts for index in part) == sorted(batch)
