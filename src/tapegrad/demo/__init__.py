"""What ``tapegrad demo`` runs: classifiers of handwritten digits, or a small language model (``--lm``)."""
