"""Whether a blessed model is fit to be served: it is, for a while, by a real server."""
