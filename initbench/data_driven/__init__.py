"""Initializers of whole networks: they take a drawn network and the training inputs, and prepare it for training.

Such a law is a function ``(problem, **params) -> Prepared``. Each has a parameter ``base``, the law that draws the
weights it starts from. Labels, and the rows of the validation and test split, are not within its reach. A new law is
one function and one line in :data:`DATA_LAWS`, and a YAML of two lines in ``configs/init/``.
"""

from initbench.data_driven.data_laws import DATA_LAWS, INITIALIZERS, DataLaw
from initbench.data_driven.prepare import Task, prepare
from initbench.data_driven.problem import Inputs, ParamArrays, Prepared, Problem

__all__ = ["DATA_LAWS", "INITIALIZERS", "DataLaw", "Inputs", "ParamArrays", "Prepared", "Problem", "Task", "prepare"]
