"""The defects of a run in words: what was asked for, and what the cells hold."""

from collections import Counter

from simtools.defects.kroger_vink import KrogerVink

__all__ = ["defect_in_words", "defects_made"]

_PLACED = {"random": "at random", "associated": "together", "separated": "apart", "nearest": "nearest"}
_KINDS = {"vacancy": "vacancies", "interstitial": "interstitials", "dumbbell": "dumbbells"}
_ON_A_SITE = ("dopant", "substitution", "antisite")


def defect_in_words(defect):
    """Return one table of [[defects]] as a phrase: how many of what, and how they were placed."""
    kind, species = defect.get("kind", "defect"), list(defect.get("species", ()))
    if kind == "composition":
        phrase = f"what makes {defect.get('formula')}"
    else:
        phrase = f"{_amount(defect)} {_name(kind, species, defect)}"
    phrase += f", placed {_placed(defect.get('placement', 'random'))}"
    if defect.get("compensation") == "none":
        phrase += ", not compensated"
    elif defect.get("compensation") is not None:
        made = f"{defect.get('compensating_species', '')} {_KINDS[defect['compensation']]}".strip()
        phrase += f", compensated by {made} {_placed(defect.get('compensation_placement', 'random'))}"
    return phrase


def defects_made(run):
    """Return the defects that the cells hold, such as ``4 Mg_Li•, 4 V_Li′``; empty before one is done."""
    for point in run.points:
        labels = [row["label"] for row in (point.outcome or {}).get("defects", ())]
        if labels:
            counted = Counter(KrogerVink.parse(label).to_unicode() for label in labels)
            return ", ".join(f"{n} {label}" for label, n in counted.items())
    return ""


def _amount(defect):
    return f"{defect['count']}" if defect.get("count") is not None else f"{100 * defect['fraction']:g} %"


def _name(kind, species, defect):
    on = defect.get("on")
    if kind == "schottky":
        return "Schottky units (" + " + ".join(f"V_{symbol}" for symbol in species) + ")"
    if kind == "vacancy":
        return f"V_{species[0]} vacancies" if species else "vacancies"
    if kind in _ON_A_SITE:
        return f"{', '.join(species)} on {on} sites"
    if kind == "dumbbell":
        along = f" along <{defect['direction']}>" if defect.get("direction") else ""
        return f"{', '.join(species)} dumbbells{f' on {on} sites' if on else ''}{along}"
    if kind == "interstitial":
        return f"{', '.join(species)} interstitials"
    if kind == "frenkel":
        return f"{', '.join(species)} Frenkel pairs"
    if kind == "exchange":
        return f"exchanges of {' and '.join(species)}"
    return f"{kind} on {', '.join(species)}"


def _placed(word):
    return _PLACED.get(word, f"in shell {word}" if isinstance(word, int) else str(word))
