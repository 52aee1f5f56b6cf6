"""Event files for TensorBoard: curves by epoch, settings and results as hyperparameters, all runs as histograms."""

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from initbench.export.runs import Run, over_runs

SHOWN_BY = "tensorboard --logdir {}"


def write(runs: Iterable[Run], folder: Path) -> None:
    """A folder of event files for every run, and one for all runs of a technique, with histograms over these.

    Raises:
        OSError: it cannot be written.
    """
    for (setting, technique), found in itertools.groupby(runs, key=lambda run: (run.setting, run.technique)):
        group = list(found)
        place = folder / _file(setting) / _file(technique)
        for run in group:
            _run(run, place / f"seed-{run.seed}")
        _all(group, place)


def _run(run: Run, folder: Path) -> None:
    # Of one seed there may be trials that differ in what was searched.
    writer = EventFileWriter(str(folder if not folder.exists() else folder.with_name(f"{folder.name}-{run.key}")))
    hparams = {**run.settings, "seed": run.seed}
    writer.add_event(_event(summary_v2.hparams_pb(hparams, run.key, run.finished), 0, run.finished))
    end = api_pb2.STATUS_SUCCESS if run.ended else api_pb2.STATUS_FAILURE
    content = plugin_data_pb2.HParamsPluginData(
        session_end_info=plugin_data_pb2.SessionEndInfo(status=end, end_time_secs=run.finished),
        version=metadata.PLUGIN_DATA_VERSION,
    )
    about = metadata.create_summary_metadata(content)
    tag = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=about, tensor=metadata.NULL_TENSOR)
    writer.add_event(_event(Summary(value=[tag]), 0, run.finished))
    for name, value in run.results.items():
        _scalar(writer, f"results/{name}", 0, value, run.finished)
    for name, curve in run.curves.items():
        for epoch, value in curve:
            _scalar(writer, name, epoch, value, run.finished)
    writer.close()


def _all(group: Sequence[Run], folder: Path) -> None:
    writer = EventFileWriter(str(folder))
    for curve in dict.fromkeys(name for run in group for name in run.curves):
        for epoch, values in over_runs(group, curve).items():
            value = Summary.Value(tag=f"{curve} of all runs", histo=_histogram(np.array(values)))
            writer.add_event(_event(Summary(value=[value]), epoch, group[-1].finished))
    writer.close()


def _histogram(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> HistogramProto:
    counts, edges = np.histogram(values, bins="auto" if np.ptp(values) > 0 else 1)
    squares = float(values @ values)
    limits = {"min": float(values.min()), "max": float(values.max()), "num": len(values), "sum": float(values.sum())}
    return HistogramProto(**limits, sum_squares=squares, bucket_limit=edges[1:].tolist(), bucket=counts.tolist())


def _scalar(writer: EventFileWriter, tag: str, step: int, value: float, seconds: float) -> None:
    writer.add_event(_event(Summary(value=[Summary.Value(tag=tag, simple_value=value)]), step, seconds))


def _event(summary: Summary, step: int, seconds: float) -> Event:
    return Event(summary=summary, step=step, wall_time=seconds)


def _file(name: str) -> str:
    """A name as one of a folder."""
    return re.sub(r"[^\w.,=+@ ·-]+", "_", name).strip()
