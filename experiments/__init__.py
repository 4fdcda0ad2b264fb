"""How the tables and figures of the thesis are rerun; run from a checkout."""

from melanet.console import quiet_tensorflow

quiet_tensorflow()  # every module here is a command, which imports TensorFlow sooner or later
