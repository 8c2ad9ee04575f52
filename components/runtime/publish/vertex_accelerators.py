"""What accelerators are called on Vertex AI, and which machines have them.

Names: google.cloud.aiplatform.v1.AcceleratorType, without what has reached its end of support. Machines:
cloud.google.com/vertex-ai/docs/predictions/configure-compute.
"""

from __future__ import annotations

import difflib
import re

ACCELERATORS = (
    "NVIDIA_TESLA_P100",
    "NVIDIA_TESLA_V100",
    "NVIDIA_TESLA_P4",
    "NVIDIA_TESLA_T4",
    "NVIDIA_TESLA_A100",
    "NVIDIA_A100_80GB",
    "NVIDIA_L4",
    "NVIDIA_H100_80GB",
    "NVIDIA_H100_MEGA_80GB",
    "NVIDIA_H200_141GB",
    "NVIDIA_B200",
    "NVIDIA_GB200",
    "NVIDIA_RTX_PRO_6000",
    "TPU_V2",
    "TPU_V3",
    "TPU_V4_POD",
    "TPU_V5_LITEPOD",
)

GKE_LABEL = "cloud.google.com/gke-accelerator"
"""Label of GKE's nodes that says which accelerator they have, such as `nvidia-tesla-t4`."""

_BUILT_IN = {
    "a2-highgpu": "NVIDIA_TESLA_A100",
    "a2-megagpu": "NVIDIA_TESLA_A100",
    "a2-ultragpu": "NVIDIA_A100_80GB",
    "a3-highgpu": "NVIDIA_H100_80GB",
    "a3-edgegpu": "NVIDIA_H100_80GB",
    "a3-megagpu": "NVIDIA_H100_MEGA_80GB",
    "a3-ultragpu": "NVIDIA_H200_141GB",
    "a4-highgpu": "NVIDIA_B200",
    "a4x-highgpu": "NVIDIA_GB200",
    "g2-standard": "NVIDIA_L4",
    "g4-standard": "NVIDIA_RTX_PRO_6000",
}
_ATTACHABLE = ("NVIDIA_TESLA_T4", "NVIDIA_TESLA_P4", "NVIDIA_TESLA_P100", "NVIDIA_TESLA_V100")
"""What can be added to an N1 machine."""
_WITHOUT = ("e2", "n2", "n2d", "n4", "c2", "c2d", "c3", "c3d", "c4", "m1", "m2", "m3")


def check(name: str) -> str:
    """Returns the name.

    Raises:
      ValueError: Vertex AI has no such accelerator; with the nearest that it has.
    """
    if name in ACCELERATORS:
        return name
    candidate = re.sub(r"[^A-Z0-9]+", "_", name.upper())
    near = difflib.get_close_matches(candidate, ACCELERATORS, n=1, cutoff=0.4)
    # (What a person knows is the last part: T4, L4, A100.)
    ending = [each for each in ACCELERATORS if each.endswith(f"_{candidate}")]
    hint = f", did you mean {(ending or near)[0]!r}?" if ending or near else f"; there are: {', '.join(ACCELERATORS)}"
    raise ValueError(f"Vertex AI has no such accelerator{hint}")


def from_gke(label: str) -> str:
    """The name on Vertex AI of what GKE's node label says; empty where Vertex AI has none such."""
    name = label.upper().replace("-", "_")
    return name if name in ACCELERATORS else ""


def check_machine(machine: str, accelerator: str) -> None:
    """Holds an accelerator against the machine that is to have it; a family that is not known here passes.

    Args:
      machine: its type, such as `n1-standard-4`.
      accelerator: a name of `ACCELERATORS`, or empty.

    Raises:
      ValueError: the machine does not take it, or has one that must be named.
    """
    family = machine.split("-")[0]
    built_in = _BUILT_IN.get("-".join(machine.split("-")[:2]))
    if built_in and accelerator != built_in:
        raise ValueError(f"the machine {machine} has {built_in} and no other: accelerator_type: {built_in}")
    if not accelerator:
        return
    if family == "n1" and accelerator not in _ATTACHABLE:
        raise ValueError(f"an n1 machine takes {', '.join(_ATTACHABLE)}; not {accelerator}{_home(accelerator)}")
    if family in _WITHOUT:
        raise ValueError(f"the machine {machine} takes no accelerator; {accelerator} is for {_machines(accelerator)}")


def _machines(accelerator: str) -> str:
    if accelerator in _ATTACHABLE:
        return "n1 machines, such as n1-standard-4"
    return " and ".join(name for name, has in _BUILT_IN.items() if has == accelerator) or "other machines"


def _home(accelerator: str) -> str:
    return f", which is for {_machines(accelerator)}" if accelerator in _BUILT_IN.values() else ""
