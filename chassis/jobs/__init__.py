"""Long work as a record: what may be done with a job, its rows, who works on it, and the service that answers for it."""
