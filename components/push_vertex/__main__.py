"""The push_vertex stage: its contract is component.yaml beside this file."""

from components.runtime.stage.executor import run_stage

if __name__ == "__main__":
    run_stage("components.push_vertex.push_vertex:push_vertex")
