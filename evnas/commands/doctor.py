"""`evnas doctor`: what this machine has."""

from evnas.commands.output import AsJson, emit, talk


def doctor(json: AsJson = False) -> None:
    """Say what is here: devices, versions, kernels, data, and which runtime is the fastest.

    \b
    Examples:
      evnas doctor
    """
    from evnas.commands.checkup import checkup, checkup_text

    found = checkup()
    emit(found, checkup_text(found), json)
    if found["advice"] and not json:
        talk("\n".join(found["advice"]))
