import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from melanet.checkpoint import EpochCheckpoint
from melanet.cyclegan import build_cyclegan
from melanet.data import InputError, load_unpaired
from melanet.data.pipelines import make_epoch_counter, ordered_batches

EPOCHS = 6


class Killed(BaseException):
    """Ends a training at any place, like a signal."""


class Killer(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.seen == self.epoch and batch == 1:
            raise Killed

    def on_epoch_begin(self, epoch, logs=None):
        self.seen = epoch


def images(epoch_counter):
    random = np.random.default_rng(0)
    arrays = random.uniform(size=(20, 8, 8, 1)), random.integers(0, 2, (20, 1))
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    return ordered_batches(
        dataset,
        lambda *element: element,
        lambda *batch: batch,
        batch_size=4,
        shuffle=True,
        seed=3,
        epoch_counter=epoch_counter,
    )


def network():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5, seed=7),
            keras.layers.Flatten(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    return model


def train(path, killed_in=None, epochs=EPOCHS):
    """Returns weights and history. Patience and plateau are short enough to matter."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(5)
    epoch_counter = make_epoch_counter()
    model, dataset = network(), images(epoch_counter)
    callbacks = [
        keras.callbacks.EarlyStopping("loss", patience=3, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.05),
    ]
    checkpoint = EpochCheckpoint(path, callbacks, epoch_counter)
    first = checkpoint.restore(model)
    killer = [] if killed_in is None else [Killer(killed_in)]
    model.fit(
        dataset,
        epochs=epochs,
        initial_epoch=first,
        callbacks=[*callbacks, checkpoint, *killer],
        shuffle=False,
        verbose=0,
    )
    return model.get_weights(), checkpoint.history


@pytest.fixture
def every_epoch(monkeypatch):
    monkeypatch.setattr("melanet.checkpoint.MAX_SAVING_SHARE", 1e9)


def test_a_training_interrupted_three_times_ends_with_the_same_bits(tmp_path, every_epoch):
    weights, history = train(tmp_path / "whole.npz")
    for epoch in (1, 3, EPOCHS - 1):
        with pytest.raises(Killed):
            train(tmp_path / "killed.npz", killed_in=epoch)
    again, history_again = train(tmp_path / "killed.npz")
    for one, other in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history_again == history
    assert len(set(history["learning_rate"])) > 1  # the plateau's state mattered


def test_training_resumes_from_the_last_saved_epoch(tmp_path, every_epoch):
    with pytest.raises(Killed):
        train(tmp_path / "killed.npz", killed_in=4)
    model = network()
    assert EpochCheckpoint(tmp_path / "killed.npz").restore(model) == 4
    assert model.optimizer.iterations == 4 * 5
    checkpoint = EpochCheckpoint(tmp_path / "killed.npz")
    checkpoint.remove()
    assert checkpoint.restore(network()) == 0


def test_the_best_model_saved_before_an_interruption_is_not_replaced_by_a_worse_one(
    tmp_path, every_epoch
):
    for epochs, best in ((2, np.float64(0.01)), (3, None)):
        kept = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "loss", save_best_only=True)
        epoch_counter = make_epoch_counter()
        model = network()
        checkpoint = EpochCheckpoint(tmp_path / "saved.npz", [kept], epoch_counter)
        first = checkpoint.restore(model)
        assert first == (0 if best else 1)
        kept.best = best
        counted = images(epoch_counter)
        model.fit(counted, epochs=epochs, initial_epoch=first, shuffle=False, verbose=0,
                  callbacks=[kept, checkpoint])  # fmt: skip
    assert kept.best == 0.01
    assert not (tmp_path / "best.keras").exists()


def test_saving_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        EpochCheckpoint, "_save", lambda self, epoch, _: (saved.append(epoch), time.sleep(0.3))
    )
    monkeypatch.setattr("melanet.checkpoint.EXPECTED_SAVING_SECONDS", 1e-9)
    train(tmp_path / "long.npz", epochs=20)
    assert saved[0] == 1
    assert len(saved) < 5


def test_a_training_of_seconds_is_not_saved(tmp_path):
    train(tmp_path / "short.npz")
    assert not list(tmp_path.iterdir())


def test_a_cyclegan_resumes_with_both_optimizers(dermoscopy, tmp_path, every_epoch):
    def weights(path, killed_in=None):
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        ids = dermoscopy.ids()
        epoch_counter = make_epoch_counter()
        domains = (dermoscopy, ids[:4]), (dermoscopy, ids[4:8])
        pairs = load_unpaired(*domains, flip=True, epoch_counter=epoch_counter)
        model = build_cyclegan((32, 32, 3), generator_filters=4, discriminator_filters=4)
        model.compile()
        checkpoint = EpochCheckpoint(path, epoch_counter=epoch_counter)
        first = checkpoint.restore(model)
        killer = [] if killed_in is None else [Killer(killed_in)]
        model.fit(pairs, epochs=3, initial_epoch=first, callbacks=[checkpoint, *killer],
                  shuffle=False, verbose=0)  # fmt: skip
        return model.get_weights()

    whole = weights(tmp_path / "whole.npz")
    with pytest.raises(Killed):
        weights(tmp_path / "killed.npz", killed_in=2)
    for one, other in zip(whole, weights(tmp_path / "killed.npz"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("content", [b"", b"not an npz", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_named(content, tmp_path):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npz: is not a saved training"):
        EpochCheckpoint(tmp_path / "x.npz").restore(network())


def test_the_file_of_another_model_is_named(tmp_path, every_epoch):
    with pytest.raises(Killed):
        train(tmp_path / "x.npz", killed_in=2)
    other = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    other.compile("adam", "mse")
    with pytest.raises(InputError, match=r"x\.npz: belongs to another model"):
        EpochCheckpoint(tmp_path / "x.npz").restore(other)


def test_a_write_that_is_interrupted_leaves_the_epoch_before_and_is_removed(
    tmp_path, every_epoch, monkeypatch
):
    path, save, written = tmp_path / "x.npz", np.savez, []

    def cut_off(file, **arrays):
        written.append(file)
        if len(written) == 2:
            file.write_bytes(b"PK")
            raise Killed
        save(file, **arrays)

    monkeypatch.setattr(np, "savez", cut_off)
    with pytest.raises(Killed):
        train(path)
    assert EpochCheckpoint(path).restore(network()) == 1
    written[0].write_bytes(b"PK")  # as SIGKILL, which no `finally` sees, would have left it
    EpochCheckpoint(path).remove()
    assert not list(tmp_path.iterdir())
