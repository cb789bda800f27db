"""The points of a campaign by name, also of those whose inputs are not known before a volume is."""

from simtools.core.errors import ConfigError
from workflows.point import finished
from workflows.values import suggestion

__all__ = ["find_point", "planned_points"]


def planned_points(campaigns):
    """Return [(name, name of the volume stage that it waits for, or None)], those that wait for none first.

    A name is the label of the point, with ``CASE/`` before it in a campaign of cases.
    """
    at_once, waiting = [], []
    for campaign in campaigns:
        above = f"{campaign.case}/" if campaign.case else ""
        for temperature_K in campaign.recipe.md.temperatures_K:
            volume = campaign.volume_job(temperature_K)
            names = [f"{above}{label}" for label in _labels(campaign, temperature_K)]
            if volume is None:
                at_once += [(name, None) for name in names]
            else:
                needs = f"{above}{volume.spec.label}"
                at_once.append((needs, None))
                waiting += [(name, needs) for name in names]
    return at_once + waiting


def find_point(campaign, name):
    """Return the `PointJob` of one case called `name`: its label (``700K-r02``) or its folder's name.

    Raises
    ------
    ConfigError
        If there is none, or the volume that it needs is not known yet.
    """
    labels = []
    for temperature_K in campaign.recipe.md.temperatures_K:
        volume = campaign.volume_job(temperature_K)
        outcome = None
        if volume is not None:
            labels.append(volume.spec.label)
            if name in (volume.spec.label, volume.spec.name):
                return volume
            outcome = finished(volume)
        own = _labels(campaign, temperature_K)
        labels += own
        if not any(name == label or name.startswith(f"{label}-") for label in own):
            continue
        if volume is not None and outcome is None:
            raise ConfigError(f"{name} waits for {volume.spec.label}, which is not done; run that one first")
        for job in campaign.production_jobs(temperature_K, outcome):
            if name in (job.spec.label, job.spec.name):
                return job
    raise ConfigError(f"{campaign.directory} has no point {name!r}{suggestion(name, labels)}")


def _labels(campaign, temperature_K):
    """Return the labels of a temperature's replicas; they do not depend on its volume."""
    jobs = campaign.production_jobs(temperature_K, {"mean_volume_A3": 1.0})
    return [job.spec.label for job in jobs]
