import itertools
import math

import cv2
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


def textures(count, seed=0, blur=1.0, size=20):
    """Images of smooth noise with some grain; a larger `blur` takes the grain away."""
    random = np.random.default_rng(seed)
    smooth = [cv2.GaussianBlur(random.random((size, size)), (0, 0), 1.5) for _ in range(count)]
    grain = random.normal(0, 0.03, (count, size, size))
    return np.stack(smooth) + (grain if blur <= 1 else 0)


def shifted(images):
    """Moves images by 3 pixels in both directions; what comes in is new."""
    return np.pad(images, ((0, 0), (3, 0), (3, 0)), mode="wrap")[:, :-3, :-3]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_images_are_compared_over_flips_and_shifts(channels):
    images = np.random.default_rng(0).random((4, 12, 10, *channels), "float32")
    moved = np.roll(images, (2, -3), axis=(1, 2))[:, :, ::-1]
    found, distances = nearest(moved, images)
    np.testing.assert_array_equal(found, range(4))
    np.testing.assert_allclose(distances, 0, atol=1e-6)
    assert (nearest(moved, images, max_shift=2)[1] > 0.1).all()


def test_the_distance_of_images_is_the_smallest_over_all_variants_by_hand():
    # A 3 x 3 image without a margin of 1 is its centre: the nearest pixel of the reference.
    query, reference = np.zeros((1, 3, 3)), np.arange(5, 14).reshape(1, 3, 3)
    assert nearest(query, reference, max_shift=1)[1] == 5
    assert nearest(query, reference, max_shift=0)[1] == pytest.approx(
        math.sqrt(sum(n**2 for n in range(5, 14)))
    )


@pytest.mark.parametrize(
    "change", [lambda x: x, shifted, lambda x: x[:, :, ::-1], lambda x: x[:, ::-1]],
    ids=["none", "shifted", "mirrored", "upside down"],
)  # fmt: skip
def test_changed_copies_are_nearer_to_training_than_to_held_out_patients(change):
    real, held_out = textures(30), textures(20, seed=1)
    result = closeness(
        change(real), real, range(30), held_out=held_out, held_out_patients=range(30, 50)
    )
    assert result.nearer_share > 0.95
    assert result.expected_share == 0.6
    assert result.p_value < 1e-6


def test_blurred_images_of_further_patients_are_close_to_all_but_not_nearer_to_training():
    shares, p_values = [], []
    for seed in range(0, 24, 3):
        blurred, real, held_out = (
            textures(count, seed + n, blur, size=14)
            for n, (count, blur) in enumerate([(40, 2), (30, 1), (20, 1)])
        )
        result = closeness(
            blurred, real, range(30), held_out=held_out, held_out_patients=range(30, 50)
        )
        shares.append(result.share)
        p_values.append(result.p_value)
    assert min(shares) > 0.3  # the alarm without a control
    assert 0.3 < np.mean(p_values) < 0.7


def test_the_permutation_test_of_closeness_counts_all_divisions_of_the_patients():
    # The nearest patients of six samples: a a b c d d; a, b and c were trained on, of five.
    real, held_out = line(0, 10, 20), line(30, 40)
    made = line(1, 2, 11, 21, 29, 31)
    result = closeness(made, real, list("abc"), held_out=held_out, held_out_patients=list("de"))
    assert result.nearer_share == pytest.approx(4 / 6)
    counts = [2, 1, 1, 2, 0]
    sums = [sum(three) for three in itertools.combinations(counts, 3)]
    assert result.p_value == pytest.approx(np.mean(np.array(sums) >= 4))


def test_without_a_control_nothing_is_said_about_it():
    result = closeness(line(0.5), line(0, 3), list("ab"))
    assert result.control is result.p_value is result.nearer_share is result.expected_share is None


@pytest.mark.parametrize("places", list(itertools.product(range(4), repeat=4))[::17])
def test_the_permutation_test_of_reidentification_counts_all_permutations(places):
    sources = line(0, 10, 20, 30, 40)
    result = reidentification(sources[list(places)], sources, [0, 1, 2, 4], list("abcde")).patient
    orders = np.array(list(itertools.permutations([0, 1, 2, 4])))
    permuted = (orders == places).sum(axis=1)
    assert result.permutation_p_value == pytest.approx(np.mean(permuted >= result.patient_hits))


def test_a_source_that_is_nearest_to_all_samples_proves_nothing():
    sources = line(0, 10, 20)
    result = reidentification(line(0, 1, 2), sources, [0, 1, 2], list("abc")).source
    assert (result.patient_hits, result.permutation_p_value) == (1, 1)


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
    (np.zeros((2, 5)), "samples of equal shape"),
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


def test_a_wrong_control_is_named():
    with pytest.raises(ValueError, match="`held_out_patients`: b is one of `patients` too"):
        closeness(
            line(0), line(0, 1), list("ab"), held_out=line(3, 4), held_out_patients=list("bc")
        )
    with pytest.raises(ValueError, match="`held_out_patients` must name a patient"):
        closeness(line(0), line(0, 1), list("ab"), held_out=line(3, 4))
    with pytest.raises(ValueError, match="less than half of an image"):
        nearest(np.zeros((1, 6, 9)), np.zeros((1, 6, 9)))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="batch_size"):
        nearest(random(2), random(2), batch_size=0)
