"""Softmax, normalisation, attention, embedding and losses."""
