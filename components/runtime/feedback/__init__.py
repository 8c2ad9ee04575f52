"""Labels that came later, joined with what was predicted, as the next span of data to train on."""
