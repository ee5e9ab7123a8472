"""The places where Ray Tune is touched inside, all of them (Ray 2.60).

Each takes the controller that Tune gives its schedulers.
"""

from typing import Any

from evnas.search.engines.tune.idle_actors import IdleActors

KEPT_TRIALS = 256
"""Ended trials that Tune may hold on to: it keeps 23 KiB of each, and reads their list whole."""


def serve(idle: IdleActors, controller: Any) -> None:
    """Have Tune keep its idle actors there, from the first trial on."""
    inner = controller._tune_controller
    if inner._actor_cache is not idle:
        manager = inner._actor_manager
        idle.waits_for_room = lambda: bool(manager.num_pending_actors)
        inner._actor_cache = idle


def starting(controller: Any, trial: Any) -> Any | None:
    """The actor that a trial waits for, new or idle; None where it waits for room, or runs."""
    inner = controller._tune_controller
    tracked = inner._trial_to_actor.get(trial)
    live = inner._actor_manager._live_actors_to_ray_actors_resources
    if tracked not in live or trial.status != "PENDING":
        return None
    actor, _ = live[tracked]
    return actor


def take_away(controller: Any, trial: Any) -> None:
    """Stop a trial that has no actor yet.

    `stop_trial` leaves it among those that wait for one, and Tune would believe that for ever.
    """
    inner = controller._tune_controller
    if trial in inner._staged_trials:
        inner._unstage_trial_with_resources(trial)
    controller.stop_trial(trial)


def forget_ended(controller: Any) -> None:
    """Drop ended trials: the store has their records, and Tune's snapshots are not taken."""
    inner = controller._tune_controller
    if len(inner._trials) <= KEPT_TRIALS + len(inner._live_trials):
        return
    inner._trials[:] = [trial for trial in inner._trials if not trial.is_finished()]
    inner._live_trials.intersection_update(inner._trials)
    for ended in (inner._stopped_trials, inner._failed_trials, inner._trials_to_cache):
        ended.clear()
