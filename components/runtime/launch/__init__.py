"""Runs one task of a compiled pipeline around its stage, on this machine and in a pod of Argo."""
