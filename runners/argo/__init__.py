"""Makes one Argo Workflow of a compiled pipeline."""

from runners.argo.options import ArgoOptions, for_settings
from runners.argo.workflow import compile_workflow

__all__ = ["ArgoOptions", "compile_workflow", "for_settings"]
