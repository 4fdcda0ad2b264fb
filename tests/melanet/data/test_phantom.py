from melanet.data.phantom import BENIGN_TO_MALIGNANT, read


def test_the_phantom_is_four_to_one_with_an_official_test_split():
    samples = read()
    assert len(samples) == 225
    for split, count in (("train", 150), ("test", 75)):
        labels = [sample.label for sample in samples if sample.split == split]
        assert len(labels) == count
        assert labels.count("benign") == BENIGN_TO_MALIGNANT * labels.count("malignant")
