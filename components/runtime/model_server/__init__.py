"""Starting a model server and asking it, whichever it is: TensorFlow Serving, or the one that is built in.

Both take the same options and answer the same requests. What runs in the built-in server's process is in
model_server/, beside components/.
"""
