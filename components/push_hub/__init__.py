"""The push_hub stage: its contract is component.yaml beside this file."""

import os

# Before huggingface_hub is imported, which reads it once: large files go over plain HTTP (Git LFS), through whatever
# proxy there is. Xet, the library's other transport, opens connections to more hosts; HF_HUB_DISABLE_XET=0 chooses it.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
# Otherwise it asks the Hub how to recognise who runs it, to tell that with each request.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
