"""TFMA's metrics of texts, which import nltk, where they were not imported with the others."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.errors import InputError
from components.runtime.evaluation.configuration.metrics import check_metrics
from tests.support import ROOT

_PROCESS = """
import json, sys
from components.runtime.stage import imports
imports.postpone()
from components.runtime.evaluation.configuration.metrics import check_metrics
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2
from components.runtime.errors import InputError

def check(*metrics):
    text = "model_specs { label_key: 'l' } metrics_specs { %s }" % " ".join("metrics { %s }" % each for each in metrics)
    check_metrics("eval_config.pbtxt", text_format.Parse(text, config_pb2.EvalConfig()))

check("class_name: 'AUC'", "class_name: 'Hinge'", "class_name: 'MajorityLift' module: 'components.evaluate.metrics'")
unasked = sorted({"nltk", "sklearn", "sacrebleu", "google.cloud.bigquery.client"} & set(sys.modules))
check("class_name: 'Bleu'", "class_name: 'Rouge' config: '\\"rouge_type\\": \\"rouge1\\"'")
try:
    check("class_name: 'Rogue'")
except InputError as error:
    print(json.dumps([unasked, str(error)]))
"""


def test_a_name_near_theirs_is_answered_with_it() -> None:
    config = "model_specs { label_key: 'l' } metrics_specs { metrics { class_name: 'Rogue' } }"
    with pytest.raises(InputError, match="there is: Rouge"):
        check_metrics("eval_config.pbtxt", text_format.Parse(config, config_pb2.EvalConfig()))


@pytest.mark.slow
def test_they_are_there_when_a_configuration_names_them_and_not_before() -> None:
    done = subprocess.run([sys.executable, "-c", _PROCESS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    unasked, error = json.loads(done.stdout.splitlines()[-1])
    assert not unasked
    assert "there is: Rouge" in error
