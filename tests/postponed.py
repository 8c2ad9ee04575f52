"""Imported where libraries are imported for stages: some of their modules wait there, as they do in a pod."""

from components.runtime.stage import imports

imports.postpone()
