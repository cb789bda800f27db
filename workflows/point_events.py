"""What a point's own process notes in the status index."""

import logging
from dataclasses import asdict

from workflows.index import StatusIndex
from workflows.progress import PointProgress

__all__ = ["note_end", "note_event"]

logger = logging.getLogger(__name__)


def note_event(job, event, **more):
    """Add an event to the status index, if the job has one; a disk that refuses is left to the next run."""
    if job.index_directory is None:
        return
    about = {"event": event, "point": job.name, "label": job.label, "case": job.case}
    try:
        StatusIndex(job.index_directory).append({**about, **more})
    except OSError as error:
        logger.warning("%s: %s", error.filename, error.strerror)


def note_end(job, result):
    """Note how a try of a point ended, and how far it got."""
    if result.status == "done":
        note_event(job, "done", temperature_K=result.outcome.get("mean_temperature_K"))
    elif result.status == "stopped" and not result.message:
        state = PointProgress.read(job.directory)
        note_event(job, "stopped", **({} if state is None else asdict(state)))
