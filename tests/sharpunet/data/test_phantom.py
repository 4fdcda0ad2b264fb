import numpy as np

from sharpunet.data import prepare
from sharpunet.data.phantom import generate


def test_the_phantom_is_the_same_for_the_same_seed_and_needs_no_folder(tmp_path):
    first = prepare("phantom", tmp_path / "nowhere", tmp_path / "first")
    second = prepare("phantom", tmp_path / "nowhere", tmp_path / "second")
    assert first.fingerprint == second.fingerprint
    assert not np.array_equal(generate(0, seed=1)[0], generate(0, seed=2)[0])


def test_a_threshold_does_not_solve_the_phantom():
    for index in range(6):
        image, mask = generate(index, size=64)
        inside = mask > 0
        best = max(
            np.sum((image > t) & inside) / np.sum((image > t) | inside) for t in range(0, 255, 5)
        )
        assert best < 0.65
