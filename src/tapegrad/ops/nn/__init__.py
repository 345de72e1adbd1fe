"""For networks: activations, linear maps, attention, embedding, normalisation, recurrence."""
