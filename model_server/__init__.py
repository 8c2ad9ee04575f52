"""The model server that is built in, for where TensorFlow Serving's own program is not.

It reads the same serving directory, takes the same options and answers the same requests, REST and gRPC, from the same
SavedModels; besides, as a server of KServe's, the Open Inference Protocol (`/v2`). It runs in an environment and an
image of its own, as a process: nothing of ours imports it.
"""
