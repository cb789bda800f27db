"""Which sites are vacant or doubled, jump by jump, each defect with its identity. Use: defect_tracks.py."""

from dataclasses import dataclass, field

__all__ = ["DUMBBELL", "VACANCY", "DefectRecord", "Ledger"]

VACANCY, DUMBBELL = "vacancy", "dumbbell"


@dataclass(eq=False)
class DefectRecord:
    """One vacancy or one ion in excess, from its first frame to its last.

    Attributes
    ----------
    kind : str
        "vacancy" or "dumbbell".
    born, died : int
        Frames; `died` is None while it lives.
    site : int
        Where it is now.
    first_site : int
        Where it began.
    partner : DefectRecord or None
        What it was created with.
    birth_vector : ndarray or None
        The ion's jump that created it.
    moves : list of tuple
        (frame, from site, to site, vector, ions that moved).
    """

    kind: str
    born: int
    site: int
    first_site: int
    partner: "DefectRecord | None" = None
    birth_vector: object = None
    died: int | None = None
    moves: list = field(default_factory=list)

    def move(self, frame, to_site, vector, n_ions=1):
        """Write down a jump of the defect."""
        self.moves.append((frame, self.site, to_site, vector, n_ions))
        self.site = to_site

    @property
    def travelled(self):
        """Sum of its jumps, 0 without any."""
        return sum(vector for _, _, _, vector, _ in self.moves)

    @property
    def ions_moved(self):
        """Ions that moved in its jumps."""
        return sum(n_ions for *_, n_ions in self.moves)


class Ledger:
    """Vacant and doubly occupied sites under the jumps of ions.

    Parameters
    ----------
    occupancy
        Ions on each site at the start, shape (n_sites,).
    transient_frames
        A vacancy and a dumbbell that were created together and are gone within this many frames were none:
        they are steps of one concerted jump.
    """

    def __init__(self, occupancy, transient_frames):
        self.occupancy = [int(n) for n in occupancy]
        self.transient_frames = transient_frames
        self._records = {}
        self.n_transient = 0
        self.n_concerted = 0
        self._vacancy_at, self._excess_at = {}, {}
        for site, n in enumerate(self.occupancy):
            if n == 0:
                self._open(VACANCY, 0, site)
            for _ in range(n - 1):
                self._open(DUMBBELL, 0, site)

    @property
    def records(self):
        """Every defect there was, in order of birth."""
        return list(self._records.values())

    def jumps_of_frame(self, frame, jumps):
        """Enter all jumps (initial site, final site, vector) of one frame, whatever their order.

        Jumps that leave the number of defects as it is, or lower it, go first: a string of ions that follow
        each other within a frame is a walk of one defect, not a pair created and destroyed.
        """
        pending = list(jumps)
        while pending:
            index = next(
                (i for i, (a, b, _) in enumerate(pending) if self.occupancy[a] > 1 or not self.occupancy[b]),
                0,
            )
            self._jump(frame, *pending.pop(index))

    def _open(self, kind, frame, site):
        record = DefectRecord(kind, frame, site, site)
        self._records[id(record)] = record
        if kind == VACANCY:
            self._vacancy_at[site] = record
        else:
            self._excess_at.setdefault(site, []).append(record)
        return record

    def _jump(self, frame, a, b, vector):
        if a == b:
            return  # to the next image of its own site, in a cell one site wide
        from_excess, to_vacancy = self.occupancy[a] > 1, self.occupancy[b] == 0
        self.occupancy[a] -= 1
        self.occupancy[b] += 1
        if from_excess and to_vacancy:
            self._annihilate(frame, self._excess_at[a].pop(), self._vacancy_at.pop(b), vector)
        elif from_excess:
            record = self._excess_at[a].pop()
            record.move(frame, b, vector)
            self._excess_at.setdefault(b, []).append(record)
        elif to_vacancy:
            record = self._vacancy_at.pop(b)
            record.move(frame, a, -vector)
            self._vacancy_at[a] = record
        else:
            vacancy, excess = self._open(VACANCY, frame, a), self._open(DUMBBELL, frame, b)
            vacancy.partner, excess.partner = excess, vacancy
            vacancy.birth_vector = excess.birth_vector = vector

    def _annihilate(self, frame, excess, vacancy, vector):
        young = [
            frame == record.born or frame - record.born < self.transient_frames
            for record in (excess, vacancy)
        ]
        together = excess.partner is vacancy or (excess.born == vacancy.born == 0)
        if all(young) and together:
            self._forget(excess, vacancy)
            self.n_transient += 1
        elif young[0] and excess.partner is not None and excess.partner.died is None:
            # the vacancy was filled, by way of the excess, from where the excess' partner is
            jumped = -(excess.birth_vector + excess.travelled + vector)
            self._merge(excess, vacancy, excess.partner, jumped, self._vacancy_at)
        elif young[1] and vacancy.partner is not None and vacancy.partner.died is None:
            # the excess pushed, by way of the vacancy, the ion that is now its partner's
            jumped = vector - vacancy.travelled + vacancy.birth_vector
            self._merge(vacancy, excess, vacancy.partner, jumped, None)
        else:
            excess.died = vacancy.died = frame

    def _merge(self, between, old, new, vector, vacancy_at):
        """Let `old` live on in the place of `new`; `between` was only the way there."""
        old.move(new.born, new.first_site, vector, 2 + between.ions_moved)
        old.moves.extend(new.moves)
        old.site = new.site
        if vacancy_at is not None:
            vacancy_at[new.site] = old
        else:
            stack = self._excess_at[new.site]
            stack[stack.index(new)] = old
        self._forget(between, new)
        self.n_concerted += 1

    def _forget(self, *records):
        for record in records:
            del self._records[id(record)]
