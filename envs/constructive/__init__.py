"""Registrations of the constructive tasks for GFlowNets, as plain data."""

from __future__ import annotations

from morl.registry import EnvSpec, Objective, register_env

HYPERGRID_FUNCTIONS = tuple(map(Objective, ("branin", "currin", "shubert", "sphere", "beale")))
register_env(
    EnvSpec(
        id="hypergrid-v0",
        summary="walk over a grid and stop where two test functions are high (num_objectives up to 5)",
        objectives=HYPERGRID_FUNCTIONS[:2],
        reference_point=(0.0, 0.0),
        gamma=1.0,
        entry_point="morl.envs.constructive.hypergrid:HyperGrid",
        constructive=True,
    )
)
register_env(
    EnvSpec(
        id="ngrams-v0",
        summary="write a string of amino acids in which three pairs are frequent (ngrams A,V,C: single letters)",
        objectives=(Objective("AV"), Objective("VC"), Objective("CA")),
        reference_point=(0.0,) * 3,
        gamma=1.0,
        entry_point="morl.envs.constructive.ngrams:NGrams",
        constructive=True,
    )
)
DNA_FOLDING = register_env(
    EnvSpec(
        id="dna-folding-v0",
        summary="write a strand of DNA that folds with much energy, many pairs and many hairpins (by ViennaRNA)",
        objectives=(Objective("energy"), Objective("pairs"), Objective("hairpins")),
        reference_point=(0.0,) * 3,
        gamma=1.0,
        entry_point="morl.envs.constructive.dna_folding:DNAFolding",
        extra="chem",
        constructive=True,
    )
)
MOLECULES = register_env(
    EnvSpec(
        id="molecules-v0",
        summary="put fragments together to a molecule that is drug-like, easy to make and light (by RDKit)",
        objectives=(Objective("qed"), Objective("synthesis"), Objective("weight")),
        reference_point=(0.0,) * 3,
        gamma=1.0,
        entry_point="morl.envs.constructive.molecules:Molecules",
        extra="chem",
        constructive=True,
    )
)
