"""What a task's file declares: what is lost, what that is worth, and how many numbers a network puts out for it.

Reading the declarations needs no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Score:
    """What the results of a task are told by. More is better; what is shown is ``times`` as much.

    Attributes:
        name: in sentences and headings, as ``accuracy``.
        unit: of what is shown, ``%`` or nothing.
        times: what a score is multiplied by to be shown; where it is negative, less is better there.
        places: digits after the point.
        points: the unit of differences.
        chance: what a score at chance means, in words.
    """

    name: str
    unit: str
    times: float
    places: int
    points: str
    chance: str

    def of(self, split: str) -> str:
        """What a column or a sentence calls the score of a split, with its unit: ``test accuracy in %``."""
        return f"{split} {self.name}" + (f" in {self.unit}" if self.unit else "")

    def axis(self, split: str) -> str:
        """What an axis calls it: ``test accuracy, %``."""
        return f"{split} {self.name}" + (f", {self.unit}" if self.unit else "")

    @property
    def less(self) -> str:
        """What a caption adds where less is better."""
        return " (less is better)" if self.times < 0 else ""

    @property
    def lower(self) -> str:
        """The word for a worse value, as it is shown."""
        return "higher" if self.times < 0 else "lower"


@dataclass(frozen=True)
class Task:
    """One row of the table of tasks.

    Attributes:
        about: what the networks learn.
        loss: the name of what they minimise, the mean over the samples.
        score: what their results are told by.
        answer: outputs to the classes they name, int64, ``[trial, batch]``; None where they name none.
        n_outputs: how many numbers a network puts out, of the number of classes.
        gradient: (outputs, targets, log) to the gradient of the mean loss, ``[trial, batch, output]`` like the outputs,
            which may be overwritten. Targets are ``[trial, batch]``; ``log`` is ``[2, trial]`` and filled with the
            summed loss and the number of correct predictions.
        measure: (outputs, targets) to the summed loss, float64, and the number of correct predictions, ``[trial]``.
        constant: of the targets of a split the mean loss of the one prediction that suits them best.
        of_loss: (mean loss, that of the constant prediction) to the score, elementwise; None where the score is the
            share of correct predictions, of which the most frequent class is the constant one.
        luck: of a number of samples, how far above the constant prediction's a score may be by luck; None likewise.
    """

    about: str
    loss: str
    score: Score
    n_outputs: Callable[[int], int]
    gradient: Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]
    measure: Callable[["Tensor", "Tensor"], tuple["Tensor", "Tensor"]]
    constant: Callable[[NDArray[Any]], float]
    answer: Callable[["Tensor"], "Tensor"] | None = None
    of_loss: Callable[[Any, Any], Any] | None = None
    luck: Callable[[Any], Any] | None = None

    @property
    def counts(self) -> bool:
        """Whether a prediction is right or wrong, so that records count correct ones."""
        return self.answer is not None
