"""The target on this machine: tasks as processes in locked environments, or in their images."""
