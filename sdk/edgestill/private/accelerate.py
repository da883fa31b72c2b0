"""accelerate: the settings that it keeps for the whole process."""

from accelerate.state import AcceleratorState


def forget_settings() -> None:
    """Let the next `Accelerator` choose its precision anew; the group of processes stays."""
    AcceleratorState._reset_state(reset_partial_state=False)
