"""What the dynamics of a run cost, and which engine they used. The page for it: report_machinery.py."""

from dataclasses import dataclass

from simtools.plots import format_number

__all__ = ["PointCost", "cost_lines", "cost_of", "engine_sentence", "total_core_hours"]

SECONDS_PER_DAY = 86400.0
NS_PER_FS = 1e-6


@dataclass(frozen=True)
class PointCost:
    """Steps of one finished point and the wall time (s) and cores that they took."""

    n_steps: int
    wall_s: float
    timestep_fs: float | None
    cores: int = 1

    @property
    def ms_per_step(self):
        """Wall time of a step, ms."""
        return 1000.0 * self.wall_s / self.n_steps

    @property
    def ns_per_day(self):
        """Simulated time in a day of this point's cores, ns; None where the time step is not known."""
        if self.timestep_fs is None:
            return None
        return SECONDS_PER_DAY / (self.wall_s / self.n_steps) * self.timestep_fs * NS_PER_FS

    @property
    def core_hours(self):
        """Wall time times cores, hours."""
        return self.wall_s * self.cores / 3600.0


def cost_of(point):
    """Return the `PointCost` of a `simtools.runs.PointRecord`, or None before it is finished."""
    outcome = point.outcome or {}
    n_steps, wall_s = outcome.get("n_steps"), outcome.get("wall_s")
    if not n_steps or not wall_s:
        return None
    return PointCost(
        n_steps=int(n_steps),
        wall_s=float(wall_s),
        timestep_fs=point.spec.get("inputs", {}).get("md", {}).get("timestep_fs"),
        cores=_cores_of(outcome.get("engine") or {}),
    )


def _cores_of(engine):
    """Return the cores that one point had: threads of the embedded engine, MPI ranks of LAMMPS."""
    return int(engine.get("mpi_ranks") or engine.get("threads", 1))


def total_core_hours(run):
    """Return the core-hours of all finished points, or None without any."""
    costs = [cost for cost in map(cost_of, run.points) if cost is not None]
    return sum(cost.core_hours for cost in costs) if costs else None


def engine_sentence(settings):
    """Return which way forces were summed and with what choices, or None for somebody else's calculator."""
    if "mpi_ranks" in settings:
        ranks = settings["mpi_ranks"]
        text = f"{settings['engine']} on {ranks} MPI rank{'s' if ranks > 1 else ''}"
        mesh = settings.get("self_check", {})
    elif "path" in settings:
        text, mesh = settings["path"], settings
    else:
        return None
    cutoff_A = settings.get("coulomb_cutoff_A", settings.get("pair_cutoff_A"))
    if mesh.get("mesh_shape"):
        shape = " x ".join(map(str, mesh["mesh_shape"]))
        text += f"; cutoff {cutoff_A:g} Å, mesh {shape}, order {mesh['mesh_order']}"
    wanted, measured = settings.get("accuracy"), settings.get("self_check", {})
    found = measured.get("relative_rms_force_error", settings.get("relative_rms_force_error"))
    if found is not None and wanted is not None:
        text += f"; relative RMS force error {found:.1e} measured, {wanted:.0e} asked for"
    elif wanted is not None:
        text += f"; relative RMS force error {wanted:.0e} asked for"
    return text


def cost_lines(run):
    """Return what `simtools run` prints at its end: the engine, and what the finished points cost."""
    lines = []
    engines = [(point.outcome or {}).get("engine") or {} for point in run.points]
    engines.sort(key=lambda engine: "self_check" not in engine)
    if engines and engine_sentence(engines[0]):
        lines.append(f"engine: {engine_sentence(engines[0])}")
    costs = [cost for cost in map(cost_of, run.points) if cost is not None]
    if not costs:
        return lines
    n_steps, wall_s = sum(cost.n_steps for cost in costs), sum(cost.wall_s for cost in costs)
    text = (
        f"cost: {format_number(total_core_hours(run), digits=2)} core-hours, {n_steps} steps in {len(costs)} "
        f"points, {1000 * wall_s / n_steps:.3g} ms/step"
    )
    rates = [cost.ns_per_day for cost in costs if cost.ns_per_day is not None]
    if rates:
        simulated_ns = sum(cost.n_steps * cost.timestep_fs for cost in costs if cost.timestep_fs) * NS_PER_FS
        days = sum(cost.wall_s for cost in costs if cost.timestep_fs) / SECONDS_PER_DAY
        text += f", {format_number(simulated_ns / days, digits=3)} ns/day in one point"
    return [*lines, text]
