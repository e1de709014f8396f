"""State that outlives a process: the journal of transfers, and locks between processes."""
