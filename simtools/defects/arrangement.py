"""Where sets of any defects go, and how their ions stand: one after the other, at a stated distance.

Vacancies alone are placed by placement.py. Counts and charges: see builders.py.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from simtools.core.errors import ConfigError
from simtools.defects.compensation import DefectSet
from simtools.defects.insertion import HYDROXIDE_BOND_A, PlacedDefect
from simtools.defects.kroger_vink import KrogerVink
from simtools.defects.placement import PlacementError, n_attempts
from simtools.defects.requests import DefectRequest
from simtools.defects.sublattice import SiteGeometry, family_axes, shell_numbers

__all__ = ["DUMBBELL_SEPARATION", "FRENKEL_SHELL", "MINIMUM_DISTANCE_A", "Arrangement", "interstitial_kind"]

MINIMUM_DISTANCE_A = 1.2
"""Ions that are put in come no closer to others, Å, before relaxation: it allows the tetrahedral
interstitials of Li3OCl (1.69 Å) and keeps two ions out of one of them."""

DUMBBELL_SEPARATION = 0.7
"""Separation of an unrelaxed dumbbell in nearest distances of its site's sublattice: the <100> dumbbell of
Li3OCl relaxes to 0.70 (1.92 Å) with `li3ocl_mouta_formal`, at constant volume in a 3 x 3 x 3 cell."""

FRENKEL_SHELL = 3
"""First shell of sites around any vacancy of its species in which the added ion of a Frenkel pair is put:
from nearer ones it is a hop or two back into the vacancy."""

_SAME_DISTANCE_A = 1e-3
_DIRECTIONS_TRIED = 200


def interstitial_kind(number: int) -> str:
    """Return the name that the sites of the `number`-th distinct interstitial carry in a `SiteGeometry`."""
    return f"i{number}"


class Arrangement:
    """The defects placed so far in one crystal.

    Parameters
    ----------
    geometry
        Sites of the perfect crystal, then its interstitial sites named by `interstitial_kind`.
    n_host
        How many of them are the crystal's.
    minimum_distance_A
        Smallest distance of an ion that is put in from any other, Å.
    rng
        Source of every random choice.
    """

    def __init__(
        self,
        geometry: SiteGeometry,
        n_host: int,
        *,
        minimum_distance_A: float,
        rng: np.random.Generator,
    ):
        self.geometry, self.n_host, self.rng = geometry, n_host, rng
        self.minimum_distance_A = minimum_distance_A
        self.taken: list[int] = []
        self.placed: list[PlacedDefect] = []
        self._occupied = np.arange(len(geometry)) < n_host
        self._added_sc: list[np.ndarray] = []
        self._reserved: tuple[int, ...] = ()
        self._n_sets = 0
        self._too_tight = ""
        self._frenkel_requests: set[int] = set()
        self._near: dict[tuple[int, str], frozenset[int]] = {}

    def add_vacancies(self, sets: Sequence[Sequence[int]], labels: Sequence[KrogerVink], *, request: int):
        """Record sets of vacancies that were placed elsewhere."""
        for sites in sets:
            for label, site in zip(labels, sites, strict=True):
                self._accept(
                    PlacedDefect(label=label, site_index=int(site), set=self._n_sets, request=request), site
                )
            self._n_sets += 1

    def place(
        self,
        request: DefectRequest,
        defects: DefectSet,
        n_sets: int,
        *,
        number: int,
        choose_anchors: Callable[[], Sequence[int]] | None = None,
    ):
        """Place `n_sets` sets of a request.

        Parameters
        ----------
        request
            Says where, and the shape of dumbbells.
        defects
            The members of one set.
        n_sets
            How many.
        number
            Of the request, for the record.
        choose_anchors
            Returns the sites of all anchors, where they are chosen elsewhere; called for every attempt.

        Raises
        ------
        PlacementError
            If no arrangement was found in `simtools.defects.placement.n_attempts`: the message says how many
            sets did fit.
        """
        if request.kind == "frenkel":
            self._frenkel_requests.add(number)
        start = (
            list(self.taken),
            list(self.placed),
            self._occupied.copy(),
            list(self._added_sc),
            self._n_sets,
        )
        most, self._too_tight = 0, ""
        attempts = n_attempts(n_sets * len(defects.members))
        for _ in range(attempts):
            anchor_sites = None if choose_anchors is None else choose_anchors()
            self._reserved = () if anchor_sites is None else tuple(anchor_sites)
            done = self._try(request, defects, n_sets, number, anchor_sites)
            if done == n_sets:
                self._reserved = ()
                return
            most = max(most, done)
            taken, placed, occupied, added, self._n_sets = start
            self.taken, self.placed = list(taken), list(placed)
            self._occupied, self._added_sc = occupied.copy(), list(added)
        apart = f", at least {request.minimum_separation_A:g} Å apart" if request.minimum_separation_A else ""
        near = request.compensation_placement
        where = f", partners {near if isinstance(near, str) else f'in shell {near}'}" if near else ""
        remedies = "ask for fewer, another placement or a larger supercell"
        if most == 0 and self._too_tight:
            remedies = self._too_tight
        raise PlacementError(
            f"{request}: no arrangement of {n_sets} x {' + '.join(map(str, defects.members))} with placement "
            f"{request.placement!r}{where}{apart}, ions {self.minimum_distance_A:g} Å apart"
            + (f" and Frenkel pairs in shell {FRENKEL_SHELL} or beyond" if self._frenkel_requests else "")
            + f" was found in {attempts} attempts: at most {most} were placed; {remedies}"
        )

    def barred_to_vacancies(self, species: str, number: int) -> list[int]:
        """Return the sites where vacancies of request `number` would annihilate Frenkel pairs."""
        if not self._frenkel_requests:
            return []
        label = KrogerVink("V", species)
        sites = self.geometry.sites_of(species).tolist()
        return [site for site in sites if self._recombines(label, site, number, None)]

    def _try(self, request, defects, n_sets, number, anchor_sites):
        for k in range(n_sets):
            own: list[int] = []
            for j, label in enumerate(defects.anchors):
                chosen = None if anchor_sites is None else anchor_sites[k * len(defects.anchors) + j]
                candidates = self._free(label, request, own=()) if chosen is None else np.array([chosen])
                ordered = self._ordered(candidates, request.placement)
                site = self._first_that_fits(label, ordered, request, number)
                if site is None:
                    return k
                own.append(site)
            for j, label in enumerate(defects.partners):
                anchor = own[j % len(defects.anchors)]
                candidates = self._partner_candidates(label, request, anchor, own)
                asked = isinstance(_partner_placement(request), int)
                site = self._first_that_fits(label, candidates, request, number, anchor if asked else None)
                if site is None:
                    return k
                own.append(site)
            self._n_sets += 1
        return n_sets

    def _free(self, label, request, own):
        """Return the free sites for `label`, far enough from the defects of other sets."""
        sites = self.geometry.sites_of(_kind_of_site(label, request))
        sites = sites[~np.isin(sites, [*self.taken, *own, *self._reserved])]
        if request.minimum_separation_A == 0:
            return sites
        others = [site for site in self.taken if site not in own]
        return sites[self.geometry.distance_to_nearest(others)[sites] >= request.minimum_separation_A]

    def _ordered(self, sites, placement):
        sites = self.rng.permutation(sites)
        if placement != "separated":
            return sites
        nearest = self.geometry.distance_to_nearest(self.taken)[sites]
        return sites[np.argsort(-np.round(nearest / _SAME_DISTANCE_A), kind="stable")]

    def _partner_candidates(self, label, request, anchor, own):
        where = _partner_placement(request)
        if where in ("random", "separated"):
            return self._ordered(self._free(label, request, own=()), where)
        shells = self._shells(anchor, _kind_of_site(label, request))
        if where > len(shells):
            raise ConfigError(
                f"{request}: the cell has {len(shells)} shells of sites for {label} around a defect, and no "
                f"shell {where}; choose a lower compensation_placement or a larger supercell"
            )
        free = self._free(label, request, own=own)
        return self.rng.permutation(free[np.isin(free, shells[where - 1])])

    def _shells(self, anchor, kind):
        sites = self.geometry.sites_of(kind)
        distances = self.geometry.distances_from(anchor)[sites]
        sites, distances = sites[distances > _SAME_DISTANCE_A], distances[distances > _SAME_DISTANCE_A]
        if len(sites) == 0:
            return []
        order = np.argsort(distances, kind="stable")
        return np.split(sites[order], 1 + np.flatnonzero(np.diff(shell_numbers(distances[order]))))

    def _recombines(self, label, site, number, exempt):
        """Return whether a Frenkel pair would have a vacancy within reach of an added ion of its species."""
        if not self._frenkel_requests:
            return False
        ion = _added_ion(label)
        vacated = label.site if label.is_vacancy else None
        for other, other_site in zip(self.placed, self.taken, strict=True):
            if other_site == exempt or not {number, other.request} & self._frenkel_requests:
                continue
            if ion is not None and other.label.is_vacancy and other.label.site == ion:
                if site in self._within_reach(other_site, self.geometry.species[site]):
                    return True
            elif vacated is not None and _added_ion(other.label) == vacated:
                if other_site in self._within_reach(site, self.geometry.species[other_site]):
                    return True
        return (
            ion is not None
            and number in self._frenkel_requests
            and any(
                site in self._within_reach(vacancy, self.geometry.species[site])
                for vacancy in self._reserved
                if vacancy != exempt and self.geometry.species[vacancy] == ion
            )
        )

    def _within_reach(self, vacancy, kind):
        """Return the sites of a kind in the shells around a vacancy from which an ion falls back into it."""
        key = int(vacancy), str(kind)
        if key not in self._near:
            shells = self._shells(vacancy, kind)[: FRENKEL_SHELL - 1]
            self._near[key] = frozenset(site for shell in shells for site in shell.tolist())
        return self._near[key]

    def _first_that_fits(self, label, candidates, request, number, exempt=None):
        for site in candidates.tolist():
            if self._recombines(label, site, number, exempt):
                continue
            defect = self._fitted(label, site, request, number)
            if defect is not None:
                self._accept(defect, site)
                return site
        return None

    def _accept(self, defect, site):
        self.taken.append(int(site))
        self.placed.append(defect)
        label = defect.label
        if label.is_vacancy or label.is_dumbbell:
            self._occupied[site] = False
        centre = self.geometry.scaled_positions[site]
        if label.is_interstitial:
            self._added_sc.append(centre)
        elif label.is_dumbbell:
            arm = self._scaled(0.5 * defect.separation_A * np.asarray(defect.direction))
            self._added_sc += [centre + arm, centre - arm]
        elif label.is_molecular:
            self._added_sc.append(centre + self._scaled(HYDROXIDE_BOND_A * np.asarray(defect.direction)))

    def _fitted(self, label, site, request, number):
        """Return the defect on this site with room for its ions, or None."""
        known = {"label": label, "set": self._n_sets, "request": number}
        centre = self.geometry.scaled_positions[site]
        if label.is_interstitial:
            if self._room_A(centre) < self.minimum_distance_A:
                return None
            return PlacedDefect(**known, site_index=None, scaled_position=tuple(centre.tolist()))
        if label.is_dumbbell:
            separation = request.separation_A or DUMBBELL_SEPARATION * self.geometry.nearest_alike_A(site)
            self._check_shared(site, separation, request)
            direction = self._dumbbell_axis(site, request.direction or "100", separation)
            if direction is None:
                return None
            return PlacedDefect(**known, site_index=site, direction=direction, separation_A=separation)
        if label.is_molecular:
            direction = self._bond_axis(site)
            return direction and PlacedDefect(**known, site_index=site, direction=direction)
        return PlacedDefect(**known, site_index=site)

    def _dumbbell_axis(self, site, family, separation_A):
        """Return the axis of a family that leaves most room in the perfect crystal, by lot if equal."""
        centre = self.geometry.scaled_positions[site]
        axes = family_axes(self.geometry.cell_A, family)
        arms = [self._scaled(0.5 * separation_A * axis) for axis in axes]
        host = np.arange(len(self.geometry)) < self.n_host
        rooms = np.array([self._room_A(centre + arm, centre - arm, without=site, hosts=host) for arm in arms])
        if rooms.max() < self.minimum_distance_A:
            self._too_tight = (
                f"even alone, two ions {separation_A:.3g} Å apart along <{family}> would come within "
                f"{rooms.max():.3g} Å of another; give another direction or separation_A"
            )
            return None
        best = self.rng.permutation(np.flatnonzero(rooms > rooms.max() - _SAME_DISTANCE_A))
        for k in best.tolist():
            arm = arms[k]
            if self._room_A(centre + arm, centre - arm, without=site) >= self.minimum_distance_A:
                return tuple(axes[k].tolist())
        return None

    def _check_shared(self, site, separation_A, request):
        """Refuse a dumbbell whose ions would be too near each other, or too far apart to share the site."""
        if separation_A < self.minimum_distance_A:
            raise ConfigError(
                f"{request}: the ions of a dumbbell would be {separation_A:.3g} Å apart, below the minimum "
                f"of {self.minimum_distance_A:g} Å; give a larger separation_A"
            )
        nearest_A = self.geometry.nearest_alike_A(site)
        if separation_A >= nearest_A:
            species = self.geometry.species[site]
            raise ConfigError(
                f"{request}: two ions {separation_A:.3g} Å apart do not share a site: the nearest {species} "
                f"sites are {nearest_A:.3g} Å apart; give a smaller separation_A"
            )

    def _bond_axis(self, site):
        centre = self.geometry.scaled_positions[site]
        for _ in range(_DIRECTIONS_TRIED):
            axis = self.rng.normal(size=3)
            axis /= np.linalg.norm(axis)
            if (
                self._room_A(centre + self._scaled(HYDROXIDE_BOND_A * axis), without=site)
                >= self.minimum_distance_A
            ):
                return tuple(axis.tolist())
        return None

    def _room_A(self, *points_sc, without=None, hosts=None):
        """Return the distance of points from the nearest ion, that on the site `without` left out, Å."""
        occupied = (self._occupied if hosts is None else hosts).copy()
        if without is not None:
            occupied[without] = False
        ions_sc = self.geometry.scaled_positions[occupied]
        if hosts is None and self._added_sc:
            ions_sc = np.concatenate([ions_sc, self._added_sc])
        return min(self.geometry.lengths_A(ions_sc - point).min(initial=math.inf) for point in points_sc)

    def _scaled(self, vector_A):
        return np.asarray(vector_A, dtype=float) @ np.linalg.inv(self.geometry.cell_A)


def _kind_of_site(label, request):
    return interstitial_kind(request.interstitial_site) if label.is_interstitial else label.site


def _added_ion(label):
    """Return the element that an interstitial or a dumbbell adds, else None."""
    if label.is_interstitial and label.n_ions == 1:
        return label.species
    if not label.is_dumbbell:
        return None
    first, second = label.elements
    return second if first == label.site else first


def _partner_placement(request):
    """Return "random", "separated" or the number of a shell."""
    if request.kind == "exchange":
        return {"associated": 1}.get(request.placement, request.placement)
    where = request.compensation_placement or "random"
    if where == "nearest":
        return FRENKEL_SHELL if request.kind == "frenkel" else 1
    return where
