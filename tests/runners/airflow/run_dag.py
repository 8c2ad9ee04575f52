"""What DAG files are to Airflow, and what comes of runs of them: a script for Airflow's own environment.

`run_dag.py JOBS` reads what to do from a file, as JSON: a list of `name`, `file` and `confs`, of which each is what a
person gives when triggering a run; without any it is told what the file declares. Writes the outcomes by name beside
it. No scheduler and no worker are started: Airflow's `dag.test()` does their work, in this process, whose start is what
takes time.
"""

import json
import sys
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb


def declared(dag):
    """What the file says, after it went through what the scheduler reads of it."""
    from airflow.serialization.serialized_objects import DagSerialization

    read = DagSerialization.deserialize_dag(json.loads(json.dumps(DagSerialization.serialize_dag(dag))))
    return {
        "dag": dag.dag_id,
        "description": dag.description,
        "schedule": str(read.timetable.summary),
        "catchup": read.catchup,
        "max_active_runs": read.max_active_runs,
        "params": {name: [param.schema, param.value] for name, param in dag.params.items()},
        "tasks": {
            task.task_id: {
                "after": sorted(task.upstream_task_ids),
                "retries": task.retries,
                "retry_delay": task.retry_delay.total_seconds(),
                "longest_delay": task.max_retry_delay and task.max_retry_delay.total_seconds(),
                "trigger_rule": str(task.trigger_rule),
                "is_teardown": task.is_teardown,
                "pod": dag.get_task(task.task_id).pod_template_dict,
                "namespace": dag.get_task(task.task_id).namespace,
                "deferrable": dag.get_task(task.task_id).deferrable,
                "inlets": [each.uri for each in dag.get_task(task.task_id).inlets],
                "outlets": [each.name for each in dag.get_task(task.task_id).outlets],
            }
            for task in read.tasks
        },
    }


def run(dag, conf):
    """The states of a run and of its tasks, and the events of assets that came of it."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    ended = dag.test(run_conf=conf)
    with create_session() as session:
        found = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == ended.run_id)).all()
        events = [{"uri": each.asset.uri, "extra": each.extra} for each in found]
    return {
        "state": str(ended.state),
        "run_id": ended.run_id,
        "tasks": {each.task_id: [str(each.state), each.try_number] for each in ended.get_task_instances()},
        "events": events,
    }


jobs = Path(sys.argv[1])
initdb()
outcomes = {}
for job in json.loads(jobs.read_text()):
    bag = DagBag(job["file"])
    assert not bag.import_errors, bag.import_errors
    [found] = bag.dags.values()
    outcomes[job["name"]] = [run(found, conf) for conf in job["confs"]] or declared(found)
jobs.with_suffix(".outcomes").write_text(json.dumps(outcomes))
