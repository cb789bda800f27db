"""What a recipe would cost, without a run directory being made or changed."""

from pathlib import Path

from workflows.campaign import Campaign
from workflows.forces import forces_of
from workflows.planned_cost import planned_cost
from workflows.same_inputs import check_same_inputs, refuse_cases
from workflows.statepoints import check_owner, needs_volume_point, read_json
from workflows.sweep_campaign import refuse_plain_run
from workflows.system_checks import check_recipe
from workflows.systems import describe_system, start_lattice_parameter_A

__all__ = ["plan_of"]


def plan_of(cases, directory):
    """Return the `workflows.planned_cost.Cost` of all cases, and (name, text) of each.

    Parameters
    ----------
    cases
        From `workflows.sweep.read_cases`.
    directory
        Where they would be run: what is done there is not counted again.

    Raises
    ------
    ConfigError
        If a case cannot be run as asked, or not in this directory.
    """
    directory = Path(directory)
    if [case.name for case in cases] == [""]:
        check_owner(directory, "run")
        refuse_cases(directory)
    else:
        refuse_plain_run(directory)
    campaigns = []
    for case in cases:
        folder = directory / "cases" / case.name if case.name else directory
        campaigns.append(_campaign(case, folder, directory))
    rows = [(item.case, planned_cost([item], measure=False).text()) for item in campaigns]
    return planned_cost(campaigns, measure=True), rows


def _campaign(case, folder, directory):
    recipe = case.recipe
    forces = forces_of(
        recipe.to_dict()["potential"],
        where=f"{recipe.source}: [potential] ",
        relative_to=recipe.source.parent,
    )
    cell = check_recipe(recipe, forces)
    check_same_inputs(recipe, forces, folder)
    system = describe_system(recipe, forces, cell)
    if needs_volume_point(recipe):
        settled = folder / "system.json"
        known = read_json(settled) if settled.exists() else {}
        start_A = known.get("start_lattice_parameter_A") or start_lattice_parameter_A(recipe, forces)
        system["start_lattice_parameter_A"] = start_A
    return Campaign(recipe, folder, forces, system, case=case.name, index_directory=directory)
