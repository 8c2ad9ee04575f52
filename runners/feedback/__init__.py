"""What turned out to be true of predictions, made into data to train on."""
