"""The recurrent network for text: an embedding, ``depth`` layers of LSTM cells, an output layer on the last state."""

from torch import Tensor, nn


class LSTM(nn.Module):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) as torch computes it, without dropout.

    Embedding and cells have the same width.
    """

    def __init__(self, vocabulary: int, n_classes: int, depth: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.cells = nn.LSTM(width, width, depth, batch_first=True)
        self.output = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits ``[batch, classes]`` of the numbers of characters ``[batch, context]``."""
        states, _ = self.cells(self.embedding(x))
        logits: Tensor = self.output(states[:, -1])
        return logits
