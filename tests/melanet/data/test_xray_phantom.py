import numpy as np
import pytest

from melanet.data import prepare
from melanet.data.xray_phantom import generate, read


def pixels(samples):
    return np.stack([sample.image() for sample in samples]).astype(float)


def test_images_follow_number_kind_and_seed():
    image = generate(3, 0, "normal")
    assert (image.shape, image.dtype) == ((64, 64), "uint8")
    np.testing.assert_array_equal(image, generate(3, 0, "normal"))
    for other in (
        generate(4, 0, "normal"),
        generate(3, 1, "normal"),
        generate(3, 0, "covid19"),
        generate(3, 0, "normal", seed=1),
    ):
        assert (other != image).any()
    assert generate(3, 0, "normal", size=32).shape == (32, 32)


def test_both_datasets_share_the_positives_and_some_patients():
    normal, pneumonia = read(negative="normal"), read(negative="pneumonia")
    for samples, negative in ((normal, "normal"), (pneumonia, "pneumonia")):
        assert [sample.label for sample in samples] == [negative] * 120 + ["covid19"] * 24
        assert {sample.split for sample in samples} == {""}
        assert len({sample.id for sample in samples}) == 144
    positives = [sample.id for sample in normal[-24:]]
    assert positives == [sample.id for sample in pneumonia[-24:]]
    np.testing.assert_array_equal(pixels(normal[-24:]), pixels(pneumonia[-24:]))
    shared = groups(normal[:-24]) & groups(pneumonia[:-24])
    assert len(shared) == 20
    assert not groups(normal[-24:]) & groups(normal[:-24] + pneumonia[:-24])


def groups(samples):
    return {sample.group for sample in samples}


def test_patients_have_one_to_three_images():
    listed = [sample.group for sample in read()]
    assert {listed.count(group) for group in listed} == {1, 2, 3}


@pytest.mark.parametrize("counts", [(1, 1), (4, 2), (7, 5)])
def test_any_number_of_images_can_be_generated(counts):
    negatives, positives = counts
    labels = [sample.label for sample in read(negatives=negatives, positives=positives, size=16)]
    assert labels == ["normal"] * negatives + ["covid19"] * positives


def test_covid19_is_a_haze_at_the_outer_borders_of_both_lungs():
    normal, covid = (
        np.mean([generate(patient, 0, kind) for patient in range(60)], axis=0)
        for kind in ("normal", "covid19")
    )
    haze = (covid - normal)[28:44]
    for border, middle in ((slice(9, 12), slice(20, 23)), (slice(52, 55), slice(41, 44))):
        assert haze[:, border].mean() > haze[:, middle].mean() + 3


def test_pneumonia_is_a_patch_in_one_lung():
    def differences(kind):
        for patient in range(30):
            lungs = generate(patient, 0, kind)[20:44].astype(float)
            yield abs(lungs[:, 12:26].mean() - lungs[:, 38:52].mean())

    assert np.mean(list(differences("pneumonia"))) > 1.5 * np.mean(list(differences("normal")))


def test_it_needs_no_download(tmp_path):
    for name, negative in (("phantom_normal", "normal"), ("phantom_pneumonia", "pneumonia")):
        dataset = prepare(name, tmp_path / "nowhere", tmp_path / name)
        assert dataset.info.labels == (negative, "covid19")
        assert len(dataset.metadata) == 144
        assert dataset.info.channels == 1
