"""Makes new parts of the project: the files, and their places in the lists that know of them."""
