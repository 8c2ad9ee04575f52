"""What training imports, in a process of its own: an upgrade of a library may import more, or need what waits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

_MODEL = """
import keras
import tensorflow as tf
from IPython.display import HTML
from keras.wrappers import SKLearnClassifier
from sklearn.linear_model import LinearRegression

def run_fn(fn_args):
    wrapped = keras.wrappers.SKLearnClassifier(model=lambda X, y: None)
    assert isinstance(wrapped, tf.keras.wrappers.SKLearnClassifier)
    assert keras.visualization.plot_image_gallery
    return LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]).predict([[2.0]]).round(6).tolist()
"""
_PROCESS = """
import importlib, json, sys
from components.runtime.stage import imports
imports.postpone()
importlib.import_module("components.train.train")
unasked = sorted({"sklearn", "scipy.stats", "IPython.core", "matplotlib.pyplot"} & set(sys.modules))
from components.runtime.module_file import loading
run_fn = loading.load_function(sys.argv[1], "run_fn")
print(json.dumps([unasked, loading.call(run_fn, None)]))
"""


def test_nothing_that_nobody_asked_for_and_all_that_a_model_asks_for(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text(_MODEL)
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS, str(model)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[], [5.0]]
