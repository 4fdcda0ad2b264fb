"""Names that a command line offers before it loads Keras or TensorFlow."""

#: Functions of `melanet.classifiers`.
CLASSIFIER_NAMES = ("vgg_gap", "resnet50_gap", "densenet121_gap")
#: Where resized images stay between epochs, see `melanet.data.caching`.
CACHES = ("memory", "disk", "none")
#: Ways to share a batch; "auto" stands for "none" or "mirrored", see `melanet.distribution`.
STRATEGIES = ("auto", "none", "mirrored", "multiworker")
