"""Writing to disk: whole or not at all, private where it must be, and with errors that say the way out."""

from zu_framework.files.atomic import (
    FOLDER_NAME,
    MARK,
    PATIENCE_SECONDS,
    Partial,
    as_json,
    held_partial,
    sweep,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)
from zu_framework.files.faults import WAYS_OUT, disk_fault, writing
from zu_framework.files.modes import make_private

__all__ = [
    "FOLDER_NAME",
    "MARK",
    "PATIENCE_SECONDS",
    "WAYS_OUT",
    "Partial",
    "as_json",
    "disk_fault",
    "held_partial",
    "make_private",
    "sweep",
    "whole_file",
    "whole_folder",
    "write_json",
    "write_text",
    "writing",
]
