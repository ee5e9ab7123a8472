"""Searches a small space by counted quantities alone: seconds, on any machine."""

import sys

import evnas


def main(results: str) -> None:
    """Run the search, or go on with it, and print its trials."""
    study = evnas.search(
        name="tiny_search",
        base="efficientvim_m1",
        space={
            "stages[*].depth": {"each": [1, 2, 3]},
            "stages[*].mixer.states": {"each": [9, 25, 49]},
        },
        objectives={"params_m": "min", "macs_g": "min"},
        constraints=["params_m >= 4"],
        strategy="random",
        budget=12,
        results=results,
    )
    print(study)
    print(study.frame[["label", "params_m", "macs_exact_g"]].dropna().to_string(index=False))


if __name__ == "__main__":  # the workers import this file again
    main(sys.argv[1] if len(sys.argv) > 1 else "results")
