import itertools

import numpy as np
import pytest

from melanet.quality import kernel_distance


def normal(count, seed, shift=0.0, channels=8):
    return np.random.default_rng(seed).normal(shift, 1, (count, channels))


def test_by_hand():
    # One channel: k(1, 1) = 2³, k(2, 2) = 5³, k(1, 2) = 3³; every subset is the same.
    estimate, error = kernel_distance(np.full((4, 1), 1), np.full((4, 1), 2))
    assert estimate == pytest.approx(8 + 125 - 2 * 27)
    assert error == 0


def test_the_kernel_divides_by_the_channels():
    first, second = np.full((4, 2), 1), np.full((4, 2), 2)
    assert kernel_distance(first, second)[0] == pytest.approx(8 + 125 - 2 * 27)


def test_subsets_of_two_average_to_the_unbiased_estimate_of_the_whole():
    real, synthetic = normal(4, 0, channels=1), normal(5, 1, 1.0, channels=1)

    def kernel(x, y):
        return (x[0] * y[0] + 1) ** 3

    within = [
        np.mean([kernel(x, y) for x, y in itertools.combinations(samples, 2)])
        for samples in (real, synthetic)
    ]
    across = np.mean([kernel(x, y) for x in real for y in synthetic])
    estimate, _ = kernel_distance(real, synthetic, subsets=20_000)
    assert estimate == pytest.approx(sum(within) - 2 * across, rel=0.02)


def test_the_expectation_is_zero_for_one_distribution():
    estimates, errors = zip(
        *(kernel_distance(normal(40, 2 * i), normal(40, 2 * i + 1), subsets=20) for i in range(50)),
        strict=True,
    )
    assert min(estimates) < 0 < max(estimates)
    assert abs(np.mean(estimates)) < 3 * np.std(estimates) / np.sqrt(50)
    # The standard error is that of one estimate, or larger.
    assert np.mean(errors) > np.std(estimates) / 1.2


def test_the_standard_error_is_about_the_spread_of_the_estimates():
    estimates, errors = zip(
        *(kernel_distance(normal(60, 2 * i), normal(60, 2 * i + 1, 1.0)) for i in range(50)),
        strict=True,
    )
    assert 0.7 < np.mean(errors) / np.std(estimates) < 1.8


def test_the_distance_grows_with_a_shift_and_is_symmetric():
    real = normal(200, 0)
    values = [kernel_distance(real, normal(200, 1, shift))[0] for shift in (0, 0.5, 1, 2)]
    assert values == sorted(values)
    assert values[0] < 0.05 < values[1]
    forth, back = (kernel_distance(*pair)[0] for pair in ((real, real + 1), (real + 1, real)))
    assert forth == pytest.approx(back, rel=0.2)


def test_the_same_seed_gives_the_same_subsets():
    sets = normal(50, 0), normal(50, 1)
    assert kernel_distance(*sets, seed=1) == kernel_distance(*sets, seed=1)
    assert kernel_distance(*sets, seed=1) != kernel_distance(*sets, seed=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"real": np.zeros((3, 2))}, "`real` must be .*4 samples or more"),
        ({"synthetic": np.zeros(9)}, "`synthetic` must be"),
        ({"real": np.zeros((5, 0))}, "`real` must be"),
        ({"synthetic": np.full((5, 2), np.nan)}, "`synthetic` must be finite"),
        ({"real": np.zeros((5, 3))}, "same channels. Received: 3, 2"),
        ({"subsets": 1}, "subsets=1"),
        ({"subset_size": 1}, "subset_size=1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        kernel_distance(**{"real": np.eye(5, 2), "synthetic": np.eye(5, 2), **arguments})
