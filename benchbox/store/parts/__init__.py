"""Many records in few files: their list, how a part is read and written, compaction, and saving what is whole."""
