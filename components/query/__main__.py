from components.runtime.stage.executor import run_stage

if __name__ == "__main__":
    run_stage("components.query.query:query")
