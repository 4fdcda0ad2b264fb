import math

import numpy as np
import pytest

from melanet.privacy import closeness, nearest, reidentification


def line(*places):
    return np.array(places, "float32")[:, None]


def random(count, seed=0, values=6):
    return np.random.default_rng(seed).random((count, values), "float32")


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_nearest_is_the_smallest_of_all_distances(batch_size):
    query, reference = random(7), random(11, seed=1)
    every = np.linalg.norm(query[:, None].astype("float64") - reference, axis=-1)
    indices, distances = nearest(query, reference, batch_size=batch_size)
    np.testing.assert_array_equal(indices, every.argmin(axis=1))
    np.testing.assert_allclose(distances, every.min(axis=1), rtol=1e-6)


def test_a_copy_is_at_distance_0_and_pixels_do_not_wrap_around():
    far = 1000 + random(5)
    indices, distances = nearest(far, far)
    np.testing.assert_array_equal(indices, range(5))
    assert not distances.any()
    assert nearest(np.array([[0]], "uint8"), np.array([[255]], "uint8"))[1] == 255


def test_closeness_by_hand():
    # Patient a at 0 and 1, b at 3, c at 7: the nearest of another patient.
    result = closeness(line(0.5, 3, 10), line(0, 1, 3, 7), ["a", "a", "b", "c"])
    np.testing.assert_allclose(result.real, [3, 2, 2, 4])
    np.testing.assert_allclose(result.synthetic, [0.5, 0, 3])
    assert (result.real_median, result.synthetic_median) == (2.5, 0.5)
    assert result.real_low == pytest.approx(2)  # of 2, 2, 3, 4
    assert result.synthetic_low == pytest.approx(0.05)  # a tenth of the way from 0 to 0.5
    assert result.share == pytest.approx(2 / 3)


def test_copies_are_too_close_and_further_patients_are_not():
    patients = np.arange(400)
    real, others = random(400), random(400, seed=1)
    assert closeness(real, real, patients).share == 1
    assert closeness(others, real, patients).share == pytest.approx(0.05, abs=0.04)
    assert closeness(others + 10, real, patients).share == 0


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_images_of_one_patient_are_not_compared_for_any_batch_size(batch_size):
    twins = np.repeat(random(5), 2, axis=0)
    patients = np.repeat([3, 1, 4, 0, 2], 2)
    assert (closeness(twins, twins, patients, batch_size=batch_size).real > 0).all()
    assert not closeness(twins, twins, np.arange(10), batch_size=batch_size).real.any()


def test_reidentification_by_hand():
    # Patient a has three of the four sources. Samples: found; found as a patient only; missed.
    sources, patients = line(0, 1, 2, 9), ["a", "a", "a", "b"]
    result = reidentification(line(0.1, 0.9, 1.9), sources, [0, 2, 3], patients)
    source, patient = result.source, result.patient
    assert (source.samples, source.hits, source.rate) == (3, 1, 1 / 3)
    assert source.chance == 1 / 4
    assert (patient.hits, patient.rate) == (2, 2 / 3)
    assert patient.chance == pytest.approx((3 / 4 + 3 / 4 + 1 / 4) / 3)
    # Two patients are two trials, samples one and three: a hit and a miss.
    for rate in (source, patient):
        assert (rate.patients, rate.patient_hits) == (2, 1)
        # One hit in two: (1 - p)² = 0.025, and the same from above.
        assert rate.interval == pytest.approx((1 - math.sqrt(0.975), math.sqrt(0.975)))
    assert source.p_value == pytest.approx(1 - (3 / 4) ** 2)
    assert patient.patient_chance == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert patient.p_value == pytest.approx(1 - (1 / 2) ** 2)


def test_many_samples_of_one_patient_are_one_trial():
    sources = random(4)
    result = reidentification(sources[[0] * 50], sources, [0] * 50, ["a", "b", "c", "d"])
    assert result.source.hits == 50
    assert (result.source.patients, result.source.patient_hits) == (1, 1)
    assert result.source.p_value == pytest.approx(1 / 4)


def test_slight_changes_are_traced_to_their_source_and_noise_is_not():
    sources, parents = random(100), np.arange(100)
    patients = parents // 2
    traced = reidentification(sources + 0.001, sources, parents, patients)
    assert traced.source.rate == traced.patient.rate == 1
    assert traced.source.p_value < 1e-50
    hidden = reidentification(random(100, seed=1), sources, parents, patients)
    assert hidden.patient.rate < 0.1
    assert hidden.patient.p_value > 0.01
    assert hidden.patient.chance == pytest.approx(2 / 100)


WRONG = [
    (np.zeros((0, 6)), "one sample or more"),
    (np.zeros(6), "one sample or more"),
    (np.full((2, 6), np.nan), "finite"),
    (np.full((2, 6), np.inf), "finite"),
    (np.zeros((2, 5)), "equally many values"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_wrong_samples_are_named(wrong, message):
    samples, patients = random(4), [0, 0, 1, 2]
    with pytest.raises(ValueError, match=f"`query`.*{message}"):
        nearest(wrong, samples)
    with pytest.raises(ValueError, match=f"`reference`.*{message}"):
        nearest(samples, wrong)
    with pytest.raises(ValueError, match=f"`synthetic`.*{message}"):
        closeness(wrong, samples, patients)
    with pytest.raises(ValueError, match=f"`synthetic`.*{message}"):
        reidentification(wrong, samples, [0, 1], patients)


@pytest.mark.parametrize(
    ("patients", "message"),
    [
        ([0, 1], "each of the 4"),
        ([0, 1, 2, np.nan], "1 of them missing"),
        ([7] * 4, "two patients"),
    ],
)
def test_wrong_patients_are_named(patients, message):
    with pytest.raises(ValueError, match=message):
        closeness(random(2), random(4), patients)
    with pytest.raises(ValueError, match=message):
        reidentification(random(2), random(4), [0, 1], patients)


@pytest.mark.parametrize(
    ("parents", "message"),
    [([0], "each of the 2"), ([0.0, 1.0], "float64"), ([0, 4], "0 to 3"), ([-1, 0], "0 to 3")],
)
def test_wrong_parents_are_named(parents, message):
    with pytest.raises(ValueError, match=f"`parents` .*{message}"):
        reidentification(random(2), random(4), parents, [0, 1, 2, 3])


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="batch_size"):
        nearest(random(2), random(2), batch_size=0)
