"""What is known of a training while it runs and afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

Curve = list[tuple[int, float]]
"""Points of a step and a value, in the order of the steps."""


@dataclass
class History:
    """What happened while the user's function ran.

    Attributes:
      expected_steps: steps the stage was asked for.
      not_finite: the transformed features of which values are not finite, in words; empty where all are.
      steps: steps done, over all calls of `fit`.
      seconds: time inside `fit`, tracing included, evaluation not.
      examples: examples trained on, as the loss metric counts them; 0 where the model keeps none.
      train: curves of the training metrics; each value is the mean since its epoch began.
      eval: curves of the same metrics on the validation data, by the end of the epochs.
      tensorboard: whether the module writes TensorBoard logs itself.
      stopped_early: whether a callback ended the last `fit` before its last step.
      kept_step: step whose weights an EarlyStopping callback has put back; None where it left the last ones.
      ends: of the last `fit` the last step of each epoch, by its number.
      resumed_at: step that an earlier attempt had reached; 0 where this one began anew.
    """

    expected_steps: int
    not_finite: str = ""
    steps: int = 0
    seconds: float = 0.0
    examples: int = 0
    train: dict[str, Curve] = field(default_factory=dict)
    eval: dict[str, Curve] = field(default_factory=dict)
    tensorboard: bool = False
    stopped_early: bool = False
    kept_step: int | None = None
    ends: dict[int, int] = field(default_factory=dict)
    resumed_at: int = 0

    def last_values(self) -> dict[str, float]:
        """The point of every curve that belongs to the model's weights, under its name with `train_` or `eval_` before.

        That is the last point, unless the weights of an earlier step were put back.
        """
        return {
            f"{prefix}_{name}": next((value for step, value in curve if step == self.kept_step), curve[-1][1])
            for prefix, curves in (("train", self.train), ("eval", self.eval))
            for name, curve in curves.items()
        }
