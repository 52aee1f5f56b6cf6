"""The tasks: one file each, with the loss, the score, what is chance, and how many numbers a network puts out.

A new one is a file here and its line in the table. Reading the table needs no torch.
"""

from collections.abc import Mapping
from typing import Any

from initbench.tasks import binary, classification, next_token, regression
from initbench.tasks.declaration import Score, Task

TASKS: dict[str, Task] = {
    "classification": classification.TASK,
    "binary": binary.TASK,
    "regression": regression.TASK,
    "next_token": next_token.TASK,
}

# What is learned where nobody says; identities, and so keys, name the task only where it is another one.
USUAL = "classification"


def task_of(dataset: Mapping[str, Any]) -> Task:
    """The task of a trial, of what its identity says of the data set; an unknown one counts as the usual one."""
    return TASKS.get(dataset.get("task", USUAL), TASKS[USUAL])


__all__ = ["TASKS", "USUAL", "Score", "Task", "task_of"]
