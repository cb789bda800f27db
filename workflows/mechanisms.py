"""How ions move, beyond D* and sigma: collective coefficients, structure, jumps, density, methods compared.

Each part is done where the data allow it, else one line says why not. Pages and files: analysis_page.py.
"""

import logging
from dataclasses import dataclass, field

import numpy as np

from simtools.analysers.charge_current import with_charge_current
from simtools.analysers.concerted import concerted_jumps
from simtools.analysers.crystal_sites import (
    equal_cells,
    in_mean_cell,
    with_sites_from_crystal,
    with_sites_from_density,
)
from simtools.analysers.density import ion_density
from simtools.analysers.green_kubo import analyse_green_kubo
from simtools.analysers.hop_statistics import hop_statistics
from simtools.analysers.jump_rates import jump_rates
from simtools.analysers.jumps import find_jumps
from simtools.analysers.method_agreement import compare_methods
from simtools.analysers.method_routes import add_routes
from simtools.analysers.molecular_ions import host_with_molecules, with_whole_molecules
from simtools.analysers.onsager import analyse_onsager
from simtools.analysers.percolation import percolation
from simtools.analysers.planner import plan_from_pilot
from simtools.analysers.rdf import radial_distribution
from simtools.analysers.tracer_tensor import analyse_tracer_tensor
from simtools.analysers.van_hove import distinct_van_hove, non_gaussian_parameter, self_van_hove
from simtools.analysers.velocity_correlation import analyse_vibrations
from simtools.core.errors import SimtoolsError

__all__ = ["TOPICS", "Mechanisms", "compared", "explain", "hops_of"]

logger = logging.getLogger(__name__)

TOPICS = ("collective", "vibrations", "structure", "jumps", "density")
"""What `explain` can do beside the comparison of methods and the plan."""

_PLANNED_ERROR = 0.10
_MOST_RDF_FRAMES = 500
_MOST_NEIGHBOURS = 4
_N_LAGS = 4
_SHORTEST_LAG_PS = 0.1
_SHOWN_HOPS = 3.2
_RESOLUTION_THZ, _SEGMENTS = 0.25, 4.0
_NULL_JUMPS = 400_000
_FEWEST_REPEATS, _MOST_REPEATS = 40, 200
_FOLDED_SPACING_A, _WHOLE_SPACING_A = 0.25, 0.4
_ROTATING = ("H", "D")
_RECORDED, _GIVEN = "the crystal that the run was built from", "the crystal given with --sites"


@dataclass(frozen=True, eq=False)
class Mechanisms:
    """What `explain` found; a part that was not wanted or not possible is empty.

    Attributes
    ----------
    onsager, green_kubo
        One result, or None.
    tensors, vibrations, rates, strings, percolations
        One result per mobile species.
    radial, van_hove, distinct, gaussian
        Radial distributions, van Hove functions, non-Gaussian parameters.
    hops
        `HopStatistics` of mobile ions, then of the others.
    densities
        `IonDensity` of mobile ions.
    comparisons
        One `MethodComparison` per mobile species.
    plans
        One `RunPlan` per mobile species.
    absent
        (topic, sentence): what is not there, and why.
    choices
        {what: value} of what was chosen: where sites come from, how often the cell was folded.
    warnings
        What to distrust.
    """

    onsager: object = None
    green_kubo: object = None
    tensors: tuple = ()
    vibrations: tuple = ()
    radial: tuple = ()
    van_hove: tuple = ()
    distinct: tuple = ()
    gaussian: tuple = ()
    hops: tuple = ()
    rates: tuple = ()
    strings: tuple = ()
    densities: tuple = ()
    percolations: tuple = ()
    comparisons: tuple = ()
    plans: tuple = ()
    absent: tuple = ()
    choices: dict = field(default_factory=dict)
    warnings: tuple = ()


@dataclass(eq=False)
class _Work:
    """Trajectories of one temperature and what was found so far."""

    trajectories: tuple
    mobile: tuple
    transports: dict
    hop_length_A: dict
    hosts: dict
    temperature_K: float
    seed: int
    found: dict = field(default_factory=dict)
    absent: list = field(default_factory=list)
    choices: dict = field(default_factory=dict)
    warnings: list = field(default_factory=list)

    def attempt(self, topic, what, function):
        """Return what `function` returns, or None after noting why there is no `what`."""
        try:
            return function()
        except SimtoolsError as error:
            logger.debug("no %s: %s", what, error)
            self.absent.append((topic, f"{what}: {error}"))
            return None

    def keep(self, name, results):
        self.found[name] = tuple(item for item in results if item is not None)


def explain(trajectories, transports, *, hop_length_A, host_species, topics=TOPICS, crystal=None, seed=0):
    """Return what the trajectories say about how their mobile ions move.

    Parameters
    ----------
    trajectories
        Replicas (`Trajectory`) at one temperature, unwrapped.
    transports
        `TransportResult` of each mobile species.
    hop_length_A, host_species
        {mobile species: distance between its sites, Å} and {mobile species: symbols of its host}.
    topics
        Which of `TOPICS`.
    crystal
        `ase.Atoms` whose atoms are the sites; by default those that the trajectories carry, else those at
        which the density of ions peaks.
    seed
        Of bootstraps and nulls.

    Returns
    -------
    Mechanisms
    """
    work = _Work(
        trajectories=tuple(trajectories),
        mobile=tuple(item.species for item in transports),
        transports={item.species: item for item in transports},
        hop_length_A=dict(hop_length_A),
        hosts={name: tuple(host) for name, host in host_species.items()},
        temperature_K=float(transports[0].temperature_K),
        seed=seed,
    )
    if "collective" in topics:
        _collective(work)
    if "vibrations" in topics:
        _vibrations(work)
    framed = _framed(work) if set(topics) & {"structure", "jumps", "density"} else ()
    if "structure" in topics:
        _structure(work, framed)
    sited = _sited(work, framed, crystal) if set(topics) & {"jumps", "density"} else None
    if "jumps" in topics and sited is not None:
        _jumps(work, sited)
    if "density" in topics:
        _density(work, framed if sited is None else sited)
    _methods(work)
    notes = [*work.warnings]
    for item in (work.found.get("onsager"), work.found.get("green_kubo")):
        notes += list(item.warnings) if item is not None else []
    return Mechanisms(
        **work.found, absent=tuple(work.absent), choices=work.choices, warnings=tuple(dict.fromkeys(notes))
    )


def _collective(work):
    first = work.mobile[0]
    if any(work.trajectories[0].formal_charges_e.get(name) for name in work.mobile):
        work.found["onsager"] = work.attempt(
            "collective",
            "Onsager matrix",
            lambda: analyse_onsager(
                [with_whole_molecules(item) for item in work.trajectories],
                mobile=first,
                hop_length_A=work.hop_length_A[first],
                host_species=host_with_molecules(work.trajectories[0], work.hosts[first]),
                seed=work.seed,
            ),
        )
        work.found["green_kubo"] = work.attempt("collective", "Green–Kubo", lambda: _green_kubo(work))
    else:
        work.absent.append(("collective", "no formal charges of the mobile ions, so no conductivity"))
    work.keep(
        "tensors",
        [
            work.attempt(
                "collective",
                f"diffusion tensor of {name}",
                lambda name=name: analyse_tracer_tensor(
                    work.trajectories,
                    species=name,
                    hop_length_A=work.hop_length_A[name],
                    host_species=work.hosts[name],
                ),
            )
            for name in work.mobile
        ],
    )


def _green_kubo(work):
    host = host_with_molecules(work.trajectories[0], work.hosts[work.mobile[0]])
    matrix = work.found.get("onsager")
    reference = (
        work.transports[work.mobile[0]].ionic_conductivity_S_per_cm
        if matrix is None
        else matrix.ionic_conductivity_S_per_cm
    )
    return analyse_green_kubo(
        [with_whole_molecules(with_charge_current(item)) for item in work.trajectories],
        temperature_K=work.temperature_K,
        einstein_helfand=reference,
        host_species=host,
    ).coarse()


def _vibrations(work):
    shortest_ps = min(item.duration_ps for item in work.trajectories)
    resolution_THz = max(_RESOLUTION_THZ, _SEGMENTS / shortest_ps)
    work.keep(
        "vibrations",
        [
            work.attempt(
                "vibrations",
                f"density of states of {name}",
                lambda name=name: analyse_vibrations(
                    work.trajectories, species=name, resolution_THz=resolution_THz
                ),
            )
            for name in work.mobile
        ],
    )


def _framed(work):
    """Return the trajectories in the frame of the first mobile ion's host, in a constant cell."""
    host = work.hosts[work.mobile[0]]
    return tuple(
        in_mean_cell(item).in_host_frame(host) if host else in_mean_cell(item) for item in work.trajectories
    )


def _structure(work, framed):
    first = framed[0]
    every = max(1, first.n_frames * len(framed) // _MOST_RDF_FRAMES)
    shortest_ps = min(item.duration_ps for item in framed)
    lags_ps = np.geomspace(max(first.frame_interval_ps, _SHORTEST_LAG_PS), shortest_ps / 4, _N_LAGS)
    lags_ps = (np.unique(np.rint(lags_ps / first.frame_interval_ps)) * first.frame_interval_ps).tolist()
    others = [name for name in dict.fromkeys(first.species.tolist()) if name not in work.mobile]
    radial, van_hove, distinct, gaussian = [], [], [], []
    for name in work.mobile:
        for other in [name, *others][:_MOST_NEIGHBOURS]:
            radial.append(
                work.attempt(
                    "structure",
                    f"g(r) of {name}–{other}",
                    lambda a=name, b=other: radial_distribution(framed, centre=a, neighbour=b, every=every),
                )
            )
        reach_A = _SHOWN_HOPS * work.hop_length_A[name]
        van_hove.append(
            work.attempt(
                "structure",
                f"self van Hove function of {name}",
                lambda a=name, r=reach_A: self_van_hove(framed, species=a, lag_times_ps=lags_ps, r_max_A=r),
            )
        )
        distinct.append(
            work.attempt(
                "structure",
                f"distinct van Hove function of {name}",
                lambda a=name: distinct_van_hove(
                    framed, centre=a, neighbour=a, lag_times_ps=[0.0, *lags_ps], bin_width_A=0.1
                ),
            )
        )
        gaussian.append(
            work.attempt(
                "structure",
                f"non-Gaussian parameter of {name}",
                lambda a=name: non_gaussian_parameter(framed, species=a),
            )
        )
    for key, results in (
        ("radial", radial),
        ("van_hove", van_hove),
        ("distinct", distinct),
        ("gaussian", gaussian),
    ):
        work.keep(key, results)


def _sited(work, framed, crystal):
    """Return the trajectories with sites, or None after noting why there are none."""
    if crystal is not None:
        work.choices["sites_from"] = _GIVEN
        # what the user gives must fit: its complaint is an error, not a remark
        return tuple(with_sites_from_crystal(item, crystal, species=work.mobile[0]) for item in framed)
    if all(item.lattice_sites is not None for item in framed):
        work.choices["sites_from"] = _RECORDED
        return framed
    species = [
        name
        for name in dict.fromkeys(framed[0].species.tolist())
        if name in work.mobile or name not in _ROTATING
    ]

    def from_density():
        repeats = equal_cells(framed[0])
        found = tuple(
            with_sites_from_density(item, species=species, repeats=repeats if k == 0 else equal_cells(item))
            for k, item in enumerate(framed)
        )
        folded = " x ".join(str(n) for n in repeats)
        how = "" if max(repeats) == 1 else f", folded into one of {folded} equal cells"
        work.choices["sites_from"] = f"peaks of the ions' own density{how}"
        return found

    return work.attempt("jumps", "sites", from_density)


def hops_of(trajectories, species, *, temperature_K, seed=0):
    """Return the jumps of one species in each replica, and what they say.

    Returns
    -------
    jumps : list of Jumps
    hops : HopStatistics

    Raises
    ------
    SimtoolsError
        As `find_jumps` and `hop_statistics`.
    """
    jumps = [find_jumps(item, species=species) for item in trajectories]
    return jumps, hop_statistics(jumps, temperature_K=temperature_K, seed=seed)


def _jumps(work, sited):
    names = dict.fromkeys([*work.mobile, *sited[0].species.tolist()])
    hops, rates, strings = [], [], []
    for name in names:
        if name in _ROTATING and name not in work.mobile:
            work.absent.append(("jumps", f"{name}: turns about its anion; see simtools rotations"))
            continue
        found = work.attempt(
            "jumps",
            f"jumps of {name}",
            lambda a=name: hops_of(sited, a, temperature_K=work.temperature_K, seed=work.seed),
        )
        if found is None:
            continue
        jumps, statistics = found
        hops.append(statistics)
        if statistics.note and name in work.mobile:
            work.absent.append(("jumps", f"correlation factor of {name}: {statistics.note}"))
        if name not in work.mobile:
            continue
        rates.append(jump_rates(jumps))
        repeats = int(np.clip(_NULL_JUMPS / max(1, statistics.n_jumps), _FEWEST_REPEATS, _MOST_REPEATS))
        strings.append(
            work.attempt(
                "jumps",
                f"strings of {name}",
                lambda j=jumps, n=repeats: concerted_jumps(j, n_repeats=n, seed=work.seed),
            )
        )
    for key, results in (("hops", hops), ("rates", rates), ("strings", strings)):
        work.keep(key, results)


def _density(work, trajectories):
    # only sites of the crystal make replicas share an origin
    shared = work.choices.get("sites_from") in (_RECORDED, _GIVEN)
    used = trajectories if shared else trajectories[:1]
    repeats = equal_cells(used[0])
    spacing_A = _FOLDED_SPACING_A if max(repeats) > 1 else _WHOLE_SPACING_A
    work.choices["density"] = (
        f"{len(used)} of {len(trajectories)} replicas, cell folded {' x '.join(map(str, repeats))}, voxels "
        f"of at most {spacing_A:g} Å"
    )
    densities = [
        work.attempt(
            "density",
            f"density of {name}",
            lambda a=name: ion_density(used, species=a, spacing_A=spacing_A, repeats=repeats),
        )
        for name in work.mobile
    ]
    work.keep("densities", densities)
    work.keep(
        "percolations",
        [
            work.attempt(
                "density",
                f"percolation of {item.species}",
                lambda d=item: percolation(d, temperature_K=work.temperature_K),
            )
            for item in work.found["densities"]
        ],
    )


def _methods(work):
    hops = {item.species: item for item in work.found.get("hops", ())}
    comparisons, plans = [], []
    total_ps = sum(item.duration_ps for item in work.trajectories)
    for name, result in work.transports.items():
        comparisons.append(
            work.attempt(
                "methods",
                f"methods for {name}",
                lambda r=result, a=name: compared(
                    work.trajectories,
                    r,
                    green_kubo=work.found.get("green_kubo"),
                    onsager=work.found.get("onsager"),
                    hops=hops.get(a),
                    seed=work.seed,
                ),
            )
        )
        plans.append(
            work.attempt(
                "plan",
                f"plan for {name}",
                lambda r=result: plan_from_pilot(r, pilot_ps=total_ps, relative_stderr=_PLANNED_ERROR),
            )
        )
    work.keep("comparisons", comparisons)
    work.keep("plans", plans)


def compared(trajectories, transport, *, green_kubo=None, onsager=None, hops=None, seed=0):
    """Return the numbers of one species by every method that there is, as a `MethodComparison`."""
    comparison = compare_methods(
        trajectories, transport, green_kubo=green_kubo if transport.charge_e else None, seed=seed
    )
    return add_routes(comparison, transport, hops=hops, onsager=onsager if transport.charge_e else None)
