"""The records: what training leaves behind and all that a report reads; their files, and columns of them."""

from initbench.records.store import (
    FORMAT,
    Damaged,
    Loaded,
    Record,
    check_writable,
    files,
    load,
    publish,
    read,
)

__all__ = ["FORMAT", "Damaged", "Loaded", "Record", "check_writable", "files", "load", "publish", "read"]
