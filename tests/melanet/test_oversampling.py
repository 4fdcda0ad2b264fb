import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melanet import oversampling
from melanet.cyclegan import CycleGAN, build_cyclegan
from melanet.data import InputError, load_dataset, writing
from melanet.oversampling import oversample, train_cyclegan, train_translator, undersample
from melanet.stargan import StarGAN, build_stargan
from melanet.synthesis import plan_translations, translate_majority


def small_cyclegan():
    return build_cyclegan((32, 32, 3), generator_filters=4, discriminator_filters=4)


@pytest.mark.parametrize("benign", [727, 687])
def test_undersampling_isic_2016_gives_173_and_173(benign):
    labels = ["benign"] * benign + ["malignant"] * 173
    metadata = pd.DataFrame({"id": range(len(labels)), "label": labels})
    drawn = undersample(metadata, seed=0)
    assert dict(drawn["label"].value_counts()) == {"benign": 173, "malignant": 173}
    assert drawn["id"].is_unique
    assert set(drawn["id"][drawn["label"] == "malignant"]) == set(range(benign, benign + 173))
    assert list(undersample(metadata, seed=0)["id"]) == list(drawn["id"])
    assert list(undersample(metadata, seed=1)["id"]) != list(drawn["id"])


FOUR_CLASSES = pd.DataFrame(
    {"id": range(200), "label": 10 * ["d"] + 100 * ["a"] + 60 * ["b"] + 30 * ["c"]}
)


def test_undersampling_four_classes_gives_the_count_of_the_rarest():
    assert dict(undersample(FOUR_CLASSES)["label"].value_counts()) == dict.fromkeys("abcd", 10)


def test_planned_translations_fill_every_class_up_to_the_largest():
    plan = plan_translations(FOUR_CLASSES)
    assert dict(plan["target"].value_counts()) == {"b": 40, "c": 70, "d": 90}
    merged = pd.concat([FOUR_CLASSES["label"], plan["target"]])
    assert dict(merged.value_counts()) == dict.fromkeys("abcd", 100)
    labels = FOUR_CLASSES.set_index("id")["label"]
    assert set(labels[plan["parent"]]) == {"a"}
    assert not plan.duplicated().any()
    pd.testing.assert_frame_equal(plan, plan_translations(FOUR_CLASSES))
    assert list(plan["parent"]) != list(plan_translations(FOUR_CLASSES, seed=1)["parent"])


def test_balanced_classes_need_no_translation():
    assert plan_translations(undersample(FOUR_CLASSES)).empty


def test_algorithm_1_counts(dermoscopy, tmp_path):
    ids = dermoscopy.ids(split="train")
    model, synthetic = oversample(
        dermoscopy, tmp_path / "synthetic", ids, epochs=1, model=small_cyclegan()
    )
    assert model.generator_optimizer.iterations == 4  # undersampled to 4 + 4, batches of 1
    assert len(synthetic.metadata) == 16  # every benign training image
    merged = load_dataset((dermoscopy, ids), synthetic, shuffle=True)
    labels = np.concatenate([labels for _, labels in merged.as_numpy_iterator()])
    assert labels.sum(axis=0).tolist() == [16, 4 + 16]


def small_stargan(labels=("nevus", "keratosis", "vascular", "melanoma")):
    return build_stargan((32, 32, 3), labels, generator_filters=4, discriminator_filters=4)


def test_algorithm_1_counts_of_four_classes(lesions, tmp_path):
    ids = lesions.ids(split="train")
    model, synthetic = oversample(
        lesions, tmp_path / "synthetic", ids, epochs=2, model=small_stargan()
    )
    assert model.generator_optimizer.iterations == 2 * 4  # undersampled to 4 images of each class
    made = synthetic.metadata
    assert dict(made["label"].value_counts()) == {"vascular": 16, "melanoma": 14, "keratosis": 10}
    assert set(lesions.values("label", list(made["parent"]))) == {"nevus"}
    assert list(made["group"]) == lesions.values("group", list(made["parent"]))
    merged = load_dataset((lesions, ids), synthetic, shuffle=True)
    labels = np.concatenate([labels for _, labels in merged.as_numpy_iterator()])
    assert labels.sum(axis=0).tolist() == [20, 20, 20, 20]


def test_each_image_is_translated_to_its_own_target(lesions, tmp_path):
    model = small_stargan()
    synthetic = translate_majority(model, lesions, tmp_path / "synthetic", batch_size=3)
    for place in (0, 11, 33):  # one of each target, and not the first of its batch
        row = synthetic.metadata.iloc[place]
        assert row["id"] == f"{row.parent}-as-{row.label}"
        parent = np.asarray(Image.open(lesions.paths([row.parent])[0]))
        made = model.translate(parent[None] / 127.5 - 1, row.label)[0]
        expected = 255 * (made - made.min()) / (made.max() - made.min())
        written = np.asarray(Image.open(synthetic.folder / row.file_name), "float32")
        assert np.abs(written - expected).max() <= 1


def test_two_classes_get_a_cyclegan_and_more_a_stargan(dermoscopy, lesions):
    small = {"filters": (2, 2), "epochs": 1, "image_size": (16, 16)}
    assert isinstance(train_translator(dermoscopy, **small), CycleGAN)
    assert isinstance(train_translator(lesions, **small), StarGAN)
    two = small_stargan(("benign", "malignant"))
    assert train_translator(dermoscopy, model=two, epochs=1) is two
    with pytest.raises(InputError, match="has 4 classes; a CycleGAN needs two"):
        train_cyclegan(lesions)
    with pytest.raises(InputError, match="has 4 classes; a CycleGAN needs two"):
        train_translator(lesions, model=small_cyclegan())
    with pytest.raises(InputError, match="the StarGAN translates among benign, malignant"):
        translate_majority(two, lesions, "synthetic")
    swapped = build_cyclegan(
        (32, 32, 3), ("malignant", "benign"), generator_filters=4, discriminator_filters=4
    )
    with pytest.raises(InputError, match="the CycleGAN translates from malignant to benign"):
        translate_majority(swapped, dermoscopy, "synthetic")


def test_equally_many_images_of_each_class_leave_nothing_to_translate(lesions, tmp_path):
    ids = [id for label in lesions.info.labels for id in lesions.ids(label=label)[:3]]
    for make in (
        lambda: translate_majority(small_stargan(), lesions, tmp_path / "synthetic", ids),
        lambda: oversample(lesions, tmp_path / "synthetic", ids, epochs=10**6),  # before it
    ):
        with pytest.raises(InputError, match="all classes have 3 training images; there is nothin"):
            make()


def test_the_synthetic_dataset_names_its_parents(dermoscopy, tmp_path):
    model = small_cyclegan()
    synthetic = translate_majority(model, dermoscopy, tmp_path / "synthetic")
    metadata = synthetic.metadata
    assert set(metadata["source"]) == {"synthetic"}
    assert set(metadata["label"]) == {"malignant"}
    benign = dermoscopy.ids(label="benign", split="train")
    assert list(metadata["parent"]) == benign
    assert list(metadata["group"]) == dermoscopy.values("group", benign)
    assert len(synthetic.info.source_fingerprint) == 16


def test_each_image_is_the_translation_of_its_parent_stretched_by_its_own_minimum_and_maximum(
    dermoscopy, tmp_path
):
    model = small_cyclegan()
    synthetic = translate_majority(model, dermoscopy, tmp_path / "synthetic", batch_size=3)
    row = synthetic.metadata.iloc[4]
    parent = np.asarray(Image.open(dermoscopy.paths([row.parent])[0]))
    made = model.translate(parent[None] / 127.5 - 1, "benign_to_malignant")[0]
    expected = 255 * (made - made.min()) / (made.max() - made.min())
    written = np.asarray(Image.open(synthetic.folder / row.file_name), "float32")
    assert np.abs(written - expected).max() <= 1
    assert written.min() == 0
    assert written.max() == 255


def test_the_dataset_of_the_same_generator_is_opened_and_that_of_another_is_refused(
    dermoscopy, tmp_path
):
    model = small_cyclegan()
    first = translate_majority(model, dermoscopy, tmp_path / "synthetic")
    stamp = (first.folder / "metadata.csv").stat().st_mtime_ns
    translate_majority(model, dermoscopy, tmp_path / "synthetic")
    assert (first.folder / "metadata.csv").stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match="made from other images or with other settings"):
        translate_majority(small_cyclegan(), dermoscopy, tmp_path / "synthetic")
    with pytest.raises(InputError, match="made from other images or with other settings"):
        translate_majority(model, dermoscopy, tmp_path / "synthetic", keep_aspect_ratio=True)


class Killed(BaseException):
    """Ends a run at any place, like a signal."""


@pytest.mark.parametrize("killed_at", [1, 4, 6])
def test_an_interrupted_translation_resumes_and_gives_the_same_bytes(
    killed_at, dermoscopy, tmp_path, monkeypatch
):
    model = small_cyclegan()
    whole = translate_majority(model, dermoscopy, tmp_path / "whole", batch_size=4)
    write_sample = writing._write_sample

    def killing(folder, sample, *rest):
        if sample.parent == whole.metadata["parent"][killed_at]:
            raise Killed
        return write_sample(folder, sample, *rest)

    monkeypatch.setattr(writing, "_write_sample", killing)
    with pytest.raises(Killed):
        translate_majority(model, dermoscopy, tmp_path / "again", batch_size=4)
    monkeypatch.undo()
    again = translate_majority(model, dermoscopy, tmp_path / "again", batch_size=4)
    assert again.fingerprint == whole.fingerprint


def test_a_folder_that_is_not_empty_is_refused_before_the_training(dermoscopy, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/thesis.doc").write_text("years of work")
    with pytest.raises(InputError, match="exists already"):
        oversample(dermoscopy, tmp_path / "taken", epochs=10**9)


def test_training_is_the_same_for_the_same_seed(dermoscopy, monkeypatch):
    monkeypatch.setattr(oversampling, "build_cyclegan", lambda *_, **__: small_cyclegan())

    def weights(seed):
        model = train_cyclegan(dermoscopy, epochs=1, seed=seed)
        return model.first_to_second.get_weights()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(np.allclose(a, b, atol=2e-3) for a, b in zip(first, again, strict=True))
    assert not np.allclose(first[0], other[0])


def epochs_of_training(dataset, monkeypatch, count, counter=0, **arguments):
    """The pixel sums of the majority images of each epoch, as `fit` gets them."""
    epochs = []

    def read(model, pairs, *, callbacks, **_):
        callbacks[-1].epoch_counter.assign(counter)
        for _ in range(count):
            epochs.append([float(first.numpy().sum()) for first, _ in pairs])

    monkeypatch.setattr("melanet.training.fit", read)
    train_cyclegan(dataset, model=small_cyclegan(), **arguments)
    return epochs


def test_every_epoch_redraws_the_majority_without_replacement(dermoscopy, monkeypatch):
    epochs = epochs_of_training(dermoscopy, monkeypatch, 40, redraw=True)
    assert {len(set(epoch)) for epoch in epochs} == {4}
    assert len({image for epoch in epochs for image in epoch}) == 16  # all of the majority
    once = epochs_of_training(dermoscopy, monkeypatch, 3)
    assert len({image for epoch in once for image in epoch}) == 4


def test_a_redraw_depends_on_the_seed_and_the_number_of_the_epoch_alone(dermoscopy, monkeypatch):
    epochs = epochs_of_training(dermoscopy, monkeypatch, 4, redraw=True, seed=3)
    resumed = epochs_of_training(dermoscopy, monkeypatch, 2, counter=2, redraw=True, seed=3)
    assert resumed == epochs[2:]
    assert epochs_of_training(dermoscopy, monkeypatch, 4, redraw=True, seed=4) != epochs


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4])
def test_a_training_with_redraws_resumes_with_the_same_bits(
    classes, dermoscopy, lesions, tmp_path, monkeypatch
):
    dataset, build = {2: (dermoscopy, small_cyclegan), 4: (lesions, small_stargan)}[classes]
    monkeypatch.setattr("melanet.checkpoint.MAX_SAVING_SHARE", 1e9)

    class Killer(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise Killed

    def weights(file, *callbacks):
        keras.utils.clear_session()
        keras.utils.set_random_seed(1)
        checkpoint = oversampling.EpochCheckpoint(tmp_path / file)
        model = train_translator(
            dataset, epochs=3, redraw=True, flip=True, model=build(),
            checkpoint=checkpoint, callbacks=callbacks,
        )  # fmt: skip
        return model.get_weights()

    whole = weights("whole.npz")
    with pytest.raises(Killed):
        weights("killed.npz", Killer())
    for one, other in zip(whole, weights("killed.npz"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_given_model_or_optimizer_is_used_and_cannot_be_distributed(dermoscopy, monkeypatch):
    own = keras.optimizers.Adam(1e-5)
    model = train_cyclegan(
        dermoscopy, epochs=1, model=small_cyclegan(), generator_optimizer=own, rates=(1e-3, 1e-4)
    )
    assert model.generator_optimizer is own
    assert float(model.discriminator_optimizer.learning_rate) == pytest.approx(1e-4)
    assert int(own.iterations) == 4
    one = oversampling.make_strategy("mirrored")  # of a single device
    monkeypatch.setattr(oversampling, "make_strategy", lambda _: one)
    with pytest.raises(
        ValueError, match="`generator_optimizer`: a given one cannot be distributed"
    ):
        train_cyclegan(dermoscopy, epochs=1, generator_optimizer=own)
    with pytest.raises(ValueError, match="`model`: a given one cannot be distributed"):
        train_cyclegan(dermoscopy, epochs=1, model=small_cyclegan())


def test_a_batch_with_fewer_images_than_devices_is_refused(dermoscopy, monkeypatch):
    monkeypatch.setattr(oversampling, "count_replicas", lambda _: 4)
    with pytest.raises(InputError, match="`batch_size`: 2 images of each class cannot be shared"):
        train_cyclegan(dermoscopy, epochs=1, batch_size=2)


def test_an_unknown_id_is_named(dermoscopy):
    with pytest.raises(InputError, match="the id 'nobody'"):
        train_cyclegan(dermoscopy, [*dermoscopy.ids(split="train"), "nobody"], epochs=1)


def test_a_class_with_too_few_images_is_named(dermoscopy):
    with pytest.raises(InputError, match="no malignant image"):
        train_cyclegan(dermoscopy, dermoscopy.ids(label="benign"), epochs=1)
    with pytest.raises(InputError, match="fewer than a batch of 9"):
        train_cyclegan(dermoscopy, epochs=1, batch_size=9)


def test_the_majority_alone_can_be_translated(dermoscopy, tmp_path):
    ids = dermoscopy.ids(label="benign")[:2]
    synthetic = translate_majority(small_cyclegan(), dermoscopy, tmp_path / "synthetic", ids)
    assert list(synthetic.metadata["parent"]) == ids
    malignant = dermoscopy.ids(label="malignant")
    with pytest.raises(InputError, match="there is no benign image"):
        translate_majority(small_cyclegan(), dermoscopy, tmp_path / "other", malignant)


@pytest.mark.parametrize(("order", "per_batch"), [("together", 1), ("discriminators_first", 2)])
def test_decayed_rates_reach_zero_with_the_last_step(dermoscopy, order, per_batch):
    gan = train_cyclegan(
        dermoscopy, image_size=(16, 16), epochs=2, filters=(2, 2), decay=True, update_order=order
    )
    generators, discriminators = gan.generator_optimizer, gan.discriminator_optimizer
    assert int(discriminators.iterations) == per_batch * int(generators.iterations)
    assert float(generators.learning_rate) == float(discriminators.learning_rate) == 0
