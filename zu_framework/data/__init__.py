"""Reading facts: files of every accepted kind, checked records, the hub, draws, and what must agree between facts.

What data-set plugins share. A plugin reads records (`read_file`, `Source`), checks their fields (`Record`), makes a
request of each, and draws (`by_protocol`, `drawn_and_rest`).
"""

from zu_framework.data.agreement import distinct, note_on_neighbours, notes_on, refuse_overlap
from zu_framework.data.documents import read_documents
from zu_framework.data.draws import by_protocol, drawn_and_rest, first_and_second_half
from zu_framework.data.facts import Facts, read_facts, requests_from, split_from
from zu_framework.data.fields import filled, place_of, request_of
from zu_framework.data.files import read_file
from zu_framework.data.messages import described
from zu_framework.data.records import Record
from zu_framework.data.sources import Part, Source, hub_records, read_records
from zu_framework.data.tables import first_row, read_csv
from zu_framework.data.text import path_of
from zu_framework.data.wording import chat_notes

__all__ = [
    "Facts",
    "Part",
    "Record",
    "Source",
    "by_protocol",
    "chat_notes",
    "described",
    "distinct",
    "drawn_and_rest",
    "filled",
    "first_and_second_half",
    "first_row",
    "hub_records",
    "note_on_neighbours",
    "notes_on",
    "path_of",
    "place_of",
    "read_csv",
    "read_documents",
    "read_facts",
    "read_file",
    "read_records",
    "refuse_overlap",
    "request_of",
    "requests_from",
    "split_from",
]
