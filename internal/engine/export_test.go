package engine

// Waiting is how many requests wait for the committer.
func (db *DB) Waiting() int { return len(db.requests) }
