"""Words around numbers."""


def counted(count: float, noun: str, several: str = "", *, form: str = "") -> str:
    """A count with its noun: `1 trial`, `12 trials`, `0 classes`.

    Args:
        noun: of one.
        several: of another number; "" is `noun` with an s.
        form: how the number is spelt, as `format` takes it; what it is spelt as decides, so that
            1.0 minutes by `g` are 1 minute.
    """
    spelt = format(count, form)
    return f"{spelt} {noun if spelt == '1' else several or f'{noun}s'}"
