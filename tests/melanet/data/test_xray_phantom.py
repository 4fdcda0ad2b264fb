import numpy as np
import pytest

from melanet.data import prepare
from melanet.data.xray_phantom import generate, read


def pixels(items):
    return np.stack([item.image() for item in items]).astype(float)


def test_an_image_is_the_same_each_time_and_another_by_number_kind_and_seed():
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


def test_both_sets_have_the_same_positives_and_share_patients_with_both_images():
    normal, pneumonia = read(negative="normal"), read(negative="pneumonia")
    for items, negative in ((normal, "normal"), (pneumonia, "pneumonia")):
        assert [item.label for item in items] == [negative] * 120 + ["covid19"] * 24
        assert {item.split for item in items} == {""}
        assert len({item.id for item in items}) == 144
    positives = [item.id for item in normal[-24:]]
    assert positives == [item.id for item in pneumonia[-24:]]
    np.testing.assert_array_equal(pixels(normal[-24:]), pixels(pneumonia[-24:]))
    shared = {item.group for item in normal[:-24]} & {item.group for item in pneumonia[:-24]}
    assert len(shared) == 20
    assert not {item.group for item in normal[-24:]} & {
        item.group for item in normal[:-24] + pneumonia[:-24]
    }


def test_patients_have_one_to_three_images():
    groups = [item.group for item in read()]
    assert {groups.count(group) for group in groups} == {1, 2, 3}


@pytest.mark.parametrize("counts", [(1, 1), (4, 2), (7, 5)])
def test_any_number_of_images_can_be_had(counts):
    negatives, positives = counts
    labels = [item.label for item in read(negatives=negatives, positives=positives, size=16)]
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


def test_it_is_prepared_without_a_download(tmp_path):
    for name, negative in (("phantom_normal", "normal"), ("phantom_pneumonia", "pneumonia")):
        dataset = prepare(name, tmp_path / "nowhere", tmp_path / name)
        assert dataset.info.labels == (negative, "covid19")
        assert len(dataset.metadata) == 144
        assert dataset.info.channels == 1
